"""All that a micro-batch needs from its source, as plain arrays, drawn ahead of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from encoders.training.batches import Batch, draw
from encoders.training.configuration import TrainingConfig
from encoders.training.pool import PoolSource
from encoders.training.vocabulary import SampledVocabulary, sample_vocabulary

T = TypeVar("T")


@dataclass(frozen=True)
class Candidates:
    """Queries and documents of a micro-batch with what is known about each pair.

    Attributes:
        documents: Token ids of D documents.
        vocabulary: The columns of the head to evaluate.
        queries: float32[B, vocabulary.query_count], query weights.
        idf: float32[V].
        base: float32[B, D], scores of the lexical part; ``None`` where it is left out.
        teachers: float32[B, D] by teacher.
        positive: int64[B], column of the document drawn as the query's relevant one; see ``Batch``.
        relevant: bool[B, D], all columns that are relevant to the query; none where nobody knows.
    """

    documents: Sequence[NDArray[np.int32]]
    vocabulary: SampledVocabulary
    queries: NDArray[np.float32]
    idf: NDArray[np.float32]
    base: NDArray[np.float32] | None
    teachers: Mapping[str, NDArray[np.float32]]
    positive: NDArray[np.int64]
    relevant: NDArray[np.bool_]


class CandidateSteps(Dataset[list[Candidates]]):  # type: ignore[misc]
    """The micro-batches of each step; a function of seed and step alone."""

    def __init__(
        self, config: TrainingConfig, pool: Sequence[PoolSource], allowed: NDArray[np.int64]
    ) -> None:
        """Keeps what they are drawn from.

        Args:
            config: All settings.
            pool: The sources.
            allowed: Sorted entries of the vocabulary that may get a weight.
        """
        self._config = config
        self._pool = pool
        self._allowed = allowed

    def __getitem__(self, step: int) -> list[Candidates]:
        config = self._config
        rng = np.random.default_rng((config.seed, step, 1))
        batches = draw(self._pool, config.schedule, config.seed, step)
        return [self._read(batch, rng) for batch in batches]

    def from_step(self, first: int) -> Iterator[list[Candidates]]:
        """Steps from ``first`` to the last, read by ``config.loaders`` processes ahead of time."""
        steps = range(first, self._config.schedule.steps)
        yield from DataLoader(
            self,
            batch_size=None,
            sampler=steps,
            num_workers=self._config.loaders,
            collate_fn=_unchanged,
            prefetch_factor=4 if self._config.loaders else None,
        )

    def _read(self, batch: Batch, rng: np.random.Generator) -> Candidates:
        config, source = self._config, batch.source
        rows = source.query_weights[batch.queries]
        dimensions = np.unique(rows.indices).astype(np.int64)
        vocabulary = sample_vocabulary(
            dimensions, self._allowed, config.sparsity.random_dimensions, rng
        )
        pairs = (batch.queries, batch.documents)
        return Candidates(
            documents=[source.documents[number] for number in batch.documents],
            vocabulary=vocabulary,
            queries=np.ascontiguousarray(rows[:, dimensions].toarray(), np.float32),
            idf=source.idf,
            base=source.base.of(*pairs) if config.beside_base else None,
            teachers={name: teacher.of(*pairs) for name, teacher in source.teachers.items()},
            positive=batch.positive,
            relevant=batch.relevant,
        )


def _unchanged(value: T) -> T:
    return value
