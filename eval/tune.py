"""Finds the weights of a space's parts and of static vectors on judged queries.

No document is encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ir_measures

from encoders.static_config import MAX_RERANK_WEIGHT
from eval.datasets.beir import Dataset, available_splits, open_dataset
from eval.datasets.qrels import Qrels
from eval.errors import TuningError
from eval.halves import ChosenOnHalf, compare_on, divide
from eval.indexes import check_index_holds
from eval.measures import Evaluation, evaluate
from eval.runs import ScoredDoc, without_identical_ids
from eval.weight_search import Trial, Weights, search_weights
from indexer.configuration import configure_weights
from retriever.errors import UnknownSpaceError
from retriever.searcher import Searcher

EDGE = 1000
"""A part whose weight is that many times smaller than another's no longer counts."""

TUNING_SPLITS = ("dev", "train")
"""Judgements made for choosing settings; those of ``test`` are for the final figure."""

_DEPTH = 1000
"""Documents of a ranking, for measures without a cutoff of their own."""

_FEW = 25

VECTORS = "static vectors"
"""Stands beside the names of parts, none of which has a space, for the weight of their cosine."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TuningProtocol:
    """How weights are tried and judged.

    Attributes:
        measure: What is to become as large as possible.
        ignore_identical_ids: Whether a document whose id is the query's is removed, as in BEIR.
        threads: Queries at a time.
        seed: Of the division of the queries, and of the bootstrap.
    """

    measure: ir_measures.Measure = field(default_factory=lambda: ir_measures.nDCG @ 10)
    ignore_identical_ids: bool = True
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Tuning(ChosenOnHalf[float]):
    """Weights chosen on one half of the queries; the first part keeps its present one.

    Where the index has static vectors, ``VECTORS`` is one of the parts.

    Attributes:
        trials: All weights tried, with the mean over the half where they were chosen.
    """

    trials: list[Trial]

    def as_json(self) -> dict[str, Any]:
        """Fields for JSON."""
        return super().as_json() | {"trials": [asdict(trial) for trial in self.trials]}


def open_tuning_dataset(folder: Path, split: str | None = None) -> Dataset:
    """Opens a collection with the judgements to tune on: by default ``dev``, then ``train``.

    Raises:
        DatasetError: See :func:`eval.datasets.beir.open_dataset`.
    """
    splits = available_splits(folder)
    return open_dataset(folder, split or next((s for s in TUNING_SPLITS if s in splits), None))


def tune(
    searcher: Searcher,
    dataset: Dataset,
    protocol: TuningProtocol | None = None,
    *,
    space: str | None = None,
    with_vectors: bool = True,
    progress: Progress = lambda line: None,
) -> Tuning:
    """Chooses the weights of a space's parts on one half of the judged queries.

    Every trial is a search with other ``part_weights`` and another ``rerank``. A query belongs to a
    half by the hash of its id, so it stays there when queries are added.

    Args:
        searcher: The index.
        dataset: Its collection, with the judgements to tune on.
        protocol: Measure and more.
        space: Name of the space; the index's default one otherwise.
        with_vectors: Whether the weight of static vectors is chosen as well, where there are any
            and the space is the only one: it is the same for all spaces.
        progress: Told each trial in one line.

    Raises:
        TuningError: There is one weight only, of a single part, or there are too few queries.
        UnknownSpaceError: There is no such space.
        SystemFailedError: The index is not one of this collection.
    """
    protocol = protocol or TuningProtocol()
    space, present = _several_weights(searcher, space, with_vectors)
    notes = list(check_index_holds(searcher, dataset))
    choosing, held_back = divide(dataset.qrels, protocol.seed)
    name = str(protocol.measure)

    def on_choosing_half(weights: Weights) -> float:
        value = evaluate_queries(searcher, dataset, choosing, space, weights, protocol).means[name]
        progress(f"{value:.4f} with {described(weights)}")
        return value

    progress(f"trying weights on {len(choosing)} queries, measure {name}")
    # Vectors before further parts: a heavy cosine hides what the parts' weights do.
    vectors_first = sorted(list(present)[1:], key=lambda part: part != VECTORS)
    best, trials = search_weights(
        {part: present[part] for part in (next(iter(present)), *vectors_first)},
        on_choosing_half,
        units={VECTORS: present[VECTORS]} if VECTORS in present else None,
        largest={VECTORS: MAX_RERANK_WEIGHT},
    )

    chosen = {part: best.weights[part] for part in present}

    def evaluated(half: Qrels, is_chosen: bool) -> Evaluation:
        weights = chosen if is_chosen else present
        return evaluate_queries(searcher, dataset, half, space, weights, protocol)

    halves = (choosing, held_back)
    comparisons = compare_on(halves, evaluated, dataset.name, name, protocol.seed)
    notes += notes_on_queries(dataset, len(held_back))
    notes += _notes_on_parts(present, chosen)
    if with_vectors and VECTORS not in present and searcher.description().rerank is not None:
        notes.append("static vectors have one weight for all spaces, which stays as it is")
    return Tuning(
        space=space,
        collection=dataset.name,
        split=dataset.split,
        measure=name,
        present=present,
        chosen=chosen,
        choosing=comparisons[0],
        held_back=comparisons[1],
        trials=[
            Trial({part: trial.weights[part] for part in present}, trial.value) for trial in trials
        ],
        notes=tuple(notes),
    )


def described(weights: Weights) -> str:
    """Weights as an expression.

    >>> described({"english-bm25": 1.0, "splade": 0.5})
    '1*english-bm25 + 0.5*splade'
    """
    return " + ".join(f"{weight:g}*{part}" for part, weight in weights.items())


def present_weights(searcher: Searcher, space: str | None = None) -> tuple[str, dict[str, float]]:
    """A space of the index, the default one for ``None``, and the weights of its parts.

    Raises:
        UnknownSpaceError: There is none of this name.
    """
    index = searcher.description()
    space = space or index.default_space
    if space not in index.spaces:
        known = ", ".join(map(repr, index.spaces))
        raise UnknownSpaceError(f"the index has no space {space!r}; it has {known}.")
    return space, {part.name: part.weight for part in index.spaces[space].parts}


def tunable_weights(searcher: Searcher, space: str | None = None) -> tuple[str, dict[str, float]]:
    """The same, and ``VECTORS`` if static vectors serve this space alone.

    Raises:
        UnknownSpaceError: There is no space of this name.
    """
    space, weights = present_weights(searcher, space)
    index = searcher.description()
    if index.rerank is not None and len(index.spaces) == 1:
        weights[VECTORS] = index.rerank.weight
    return space, weights


def apply_weights(index: Path, tuning: Tuning) -> None:
    """Makes the chosen weights the index's own, in one new generation.

    Raises:
        IndexerError: The index has no such space, part or vectors any more.
    """
    parts = {part: weight for part, weight in tuning.chosen.items() if part != VECTORS}
    configure_weights(index, tuning.space, parts, tuning.chosen.get(VECTORS))


def _several_weights(
    searcher: Searcher, space: str | None, with_vectors: bool
) -> tuple[str, dict[str, float]]:
    space, present = (tunable_weights if with_vectors else present_weights)(searcher, space)
    if len(present) < 2:
        raise TuningError(
            f"space {space!r} has one part only, {next(iter(present))!r}, whose weight alone is "
            "not chosen; build an index of two, such as --encoder 'english-bm25 + 0.5*splade:DIR'."
        )
    return space, present


def evaluate_queries(
    searcher: Searcher,
    dataset: Dataset,
    qrels: Qrels,
    space: str,
    weights: Weights,
    protocol: TuningProtocol,
) -> Evaluation:
    """Searches judged queries with weights of parts, and measures the rankings.

    Without one of ``VECTORS``, static vectors have the index's own.
    """
    depth = int(protocol.measure.params.get("cutoff", _DEPTH))
    queries = {q: dataset.queries[q] for q in qrels if q in dataset.queries}
    found = searcher.search_batch(
        list(queries.values()),
        depth + 1 if protocol.ignore_identical_ids else depth,
        threads=protocol.threads,
        space=space,
        part_weights={part: weight for part, weight in weights.items() if part != VECTORS},
        rerank=weights.get(VECTORS),
    )
    run: Mapping[str, list[ScoredDoc]] = {
        query_id: [(hit.doc_id, hit.score) for hit in results.hits]
        for query_id, results in zip(queries, found, strict=True)
    }
    if protocol.ignore_identical_ids:
        run, _ = without_identical_ids(run, depth)
    return evaluate(qrels, run, [protocol.measure])


def notes_on_queries(dataset: Dataset, held_back: int) -> list[str]:
    """What a reader of figures on these queries must know, ``held_back`` of which are new."""
    notes = []
    if dataset.split == "test":
        notes.append(
            "these are the judgements of the test split: figures on them that are reported after "
            "settings were chosen on them are too good"
        )
    if held_back < _FEW:
        notes.append(f"{held_back} queries are few: see how wide the interval is")
    if dataset.queries_without_text:
        count = len(dataset.queries_without_text)
        notes.append(f"{count} judged queries have no text and count as 0 throughout")
    return notes


def _notes_on_parts(present: Weights, chosen: Weights) -> list[str]:
    notes = []
    first, *others = (part for part in chosen if part != VECTORS)
    for part in others:
        ratio = chosen[part] / chosen[first]
        if chosen != present and not 1 / EDGE < ratio < EDGE:
            idle = part if ratio < 1 else first
            notes.append(f"part {idle!r} helps nowhere here; an index without it would be smaller")
    if VECTORS in chosen and chosen[VECTORS] * EDGE < present[VECTORS]:
        notes.append("static vectors help nowhere here; an index without them would be smaller")
    return notes
