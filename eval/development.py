"""Measures a student beside BM25 on dev sets, without building an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray
from scipy import sparse

from encoders.training.configuration import TrainingConfig
from encoders.training.errors import TrainingError
from encoders.training.lexical import LexicalBase, QueryWeights
from encoders.training.loop import Development
from encoders.training.sources import Source, read_source
from encoders.training.student import Student
from eval.measures import evaluate
from eval.per_query import PerQuery

MEASURE = nDCG @ 10
DEPTH = 10


@dataclass(frozen=True)
class DevSet:
    """Queries of one dev set with all that does not depend on the student.

    Attributes:
        name: Name of the source.
        weight: Share in the mean, relative to the other sets'.
        documents: Token ids.
        positives: Per query, the numbers of its relevant documents.
        base: float32[Q, D], scores of the lexical part.
        query_weights: float32 CSR [Q, V].
    """

    name: str
    weight: float
    documents: Sequence[NDArray[np.int32]]
    positives: Sequence[Sequence[int]]
    base: NDArray[np.float32]
    query_weights: sparse.csr_matrix

    def learned(self, student: Student) -> NDArray[np.float32]:
        """float32[Q, D], scores of the student; exact, for only query dimensions can score."""
        columns = np.unique(self.query_weights.indices).astype(np.int64)
        rows = student.encode(self.documents, columns)
        queries = self.query_weights @ sparse.diags(student.query_factors())
        return np.asarray((queries @ rows.T).todense(), dtype=np.float32)

    def ndcg(self, scores: NDArray[np.float32]) -> float:
        """NDCG@10 of float32[Q, D] scores; equal scores go by the order of the documents."""
        values = self.per_query(scores).values()
        return float(np.mean([value[str(MEASURE)] for value in values]))

    def per_query(self, scores: NDArray[np.float32]) -> PerQuery:
        """NDCG@10 of each query, by its number."""
        depth = min(DEPTH, scores.shape[1])
        run = {}
        for number, row in enumerate(scores):
            top = np.argsort(-row, kind="stable")[:depth]
            run[str(number)] = [(str(d), float(row[d])) for d in top if row[d] > 0]
        qrels = {
            str(number): {str(d): 1 for d in relevant}
            for number, relevant in enumerate(self.positives)
        }
        return evaluate(qrels, run, [MEASURE]).per_query


class DevSets:
    """The dev sets of a training configuration.

    Called with a student, it gives NDCG@10 of base + w * learned for the weight w, of those that
    the configuration lists, with the best weighted mean over the sets: the weight of the part
    is a number at query time and is chosen here as well.
    """

    def __init__(self, config: TrainingConfig, student: Student) -> None:
        """Reads the sets.

        Raises:
            TrainingError: A set gives nothing, or names no relevant documents.
        """
        self.sets = [_read(source, config, student) for source in config.dev]
        self._part_weights = config.dev_part_weights

    def __call__(self, student: Student) -> Development:
        """Figures of a student at the best weight."""
        return self.at_weights(student)[0]

    def at_weights(self, student: Student) -> list[Development]:
        """Figures at every weight, the best first."""
        learned = [dev_set.learned(student) for dev_set in self.sets]
        found = []
        for weight in self._part_weights:
            figures = {
                dev_set.name: dev_set.ndcg(dev_set.base + weight * scores)
                for dev_set, scores in zip(self.sets, learned, strict=True)
            }
            found.append(Development(figures, self.mean(figures), weight))
        return sorted(found, key=lambda development: -development.mean)

    def base(self) -> Development:
        """Figures of the base alone."""
        figures = {dev_set.name: dev_set.ndcg(dev_set.base) for dev_set in self.sets}
        return Development(figures, self.mean(figures), 0.0)

    def mean(self, figures: Mapping[str, float]) -> float:
        """Mean over the sets by their weights."""
        weights = [dev_set.weight for dev_set in self.sets]
        return float(np.average([figures[dev_set.name] for dev_set in self.sets], weights=weights))


def _read(source: Source, config: TrainingConfig, student: Student) -> DevSet:
    examples = read_source(source)
    if not any(examples.positives):
        raise TrainingError(
            f"dev set {source.name!r} ({source.kind}) names no relevant documents to find."
        )
    base = LexicalBase(examples.documents, config.base)
    scores = base.queries(examples.queries) @ base.documents.T
    return DevSet(
        name=source.name,
        weight=source.weight,
        documents=student.tokens(examples.documents, config.dev_max_length),
        positives=examples.positives,
        base=np.asarray(scores.todense(), dtype=np.float32),
        query_weights=QueryWeights(student.tokenizer, examples.documents).queries(examples.queries),
    )
