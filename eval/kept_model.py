"""Whether a trained model is kept: it and the index's own answer queries that chose neither.

Each answers in an index that is made like the one that it would serve in, with 8-bit and pruned
rows, the same query table and static vectors: what ranks better in training need not do so there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from encoders.base import Document
from encoders.training.sources import Examples
from eval.compare import NOTICEABLE, Comparison, Pair, compare
from eval.development import DEPTH, MEASURE
from eval.measures import evaluate
from eval.per_query import PerQuery
from eval.sample_index import build_sample
from eval.tune import Progress
from indexer.spaces import SpacePart
from retriever.searcher import open_index
from retriever.snapshot import Snapshot

TOGETHER = "together"
"""Name of the comparison on the queries of all kinds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trained model (system A) compares with the index's own (B), in NDCG@10.

    Attributes:
        kinds: On the queries of each kind.
        together: On all queries, each counting once.
    """

    kinds: tuple[Comparison, ...]
    together: Comparison

    @property
    def is_better(self) -> bool:
        """Whether A may take the place of B: better on all queries, and on no kind much worse."""
        return self.together.is_gain and all(row.difference >= -NOTICEABLE for row in self.kinds)

    def as_json(self) -> dict[str, dict[str, str | int | float | None]]:
        """The comparisons by kind, and that on all queries."""
        rows = {row.collection: row.as_json() for row in self.kinds}
        return {**rows, TOGETHER: self.together.as_json()}


def compare_models(
    snapshot: Snapshot,
    space: str,
    trained: Mapping[str, SpacePart],
    kinds: Mapping[str, Examples],
    seed: int = 0,
    progress: Progress = lambda line: None,
) -> Verdict:
    """Asks two indexes of the same documents, which differ in the learned part only.

    Args:
        snapshot: The index in use.
        space: Name of the space.
        trained: The part that may take the place of the one of that name.
        kinds: By kind of query, documents to index and queries to ask, with their relevant
            documents.
        seed: Of the bootstrap.
        progress: Told each step in a line.

    Returns:
        The space with the trained part (A) against the index's own (B).

    Raises:
        EncoderError: An encoder cannot be loaded, or is not the one that encoded the index.
        IndexerError: The same of the static vectors.
    """
    pairs = []
    for kind, examples in kinds.items():
        answers = []
        for whose, instead in (("the trained model", trained), ("the index's own model", {})):
            progress(f"indexing {len(examples.documents)} documents to find by {kind}, by {whose}")
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder) / "sample.winnow"
                documents = (Document(str(n), text) for n, text in enumerate(examples.documents))
                build_sample(snapshot, space, documents, work, instead)
                answers.append(_ask(work, examples))
        pairs.append(Pair(kind, *answers))
    *rows, together = compare([*pairs, _joined(pairs)], [str(MEASURE)], seed=seed)
    return Verdict(tuple(rows), together)


def _joined(pairs: Sequence[Pair]) -> Pair:
    """All queries of some pairs."""
    a = {f"{pair.collection} {query}": found for pair in pairs for query, found in pair.a.items()}
    b = {f"{pair.collection} {query}": found for pair in pairs for query, found in pair.b.items()}
    return Pair(TOGETHER, a, b)


def _ask(index: Path, examples: Examples) -> PerQuery:
    with open_index(index) as searcher:
        found = searcher.search_batch(examples.queries, DEPTH)
    run = {
        str(number): [(hit.doc_id, hit.score) for hit in results.hits]
        for number, results in enumerate(found)
    }
    qrels = {
        str(number): {str(document): 1 for document in relevant}
        for number, relevant in enumerate(examples.positives)
    }
    return evaluate(qrels, run, [MEASURE]).per_query
