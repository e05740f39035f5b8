"""Sampled vocabulary: the columns of the head that one step evaluates.

The ranking loss reads a document's weights in the dimensions of the batch's queries and in no
others, so its gradient needs these columns only. FLOPS sums over all columns; a random sample of
the others, weighted by the inverse of its share, estimates that sum without bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class SampledVocabulary:
    """Columns of one step.

    Attributes:
        columns: int64[C]; the first ``query_count`` are the dimensions of the queries, ascending,
            the others a random sample.
        query_count: Number of query dimensions.
        inflation: How many columns each random one stands for.
    """

    columns: NDArray[np.int64]
    query_count: int
    inflation: float

    def multiplicity(self) -> torch.Tensor:
        """float32[C]: 1 for query dimensions, ``inflation`` for the others.

        ``sum_c multiplicity_c * f(column c)`` has the expectation ``sum_v f(v)`` over the whole
        vocabulary.
        """
        values = torch.full((len(self.columns),), self.inflation)
        values[: self.query_count] = 1
        return values


def sample_vocabulary(
    query_dimensions: NDArray[np.int64],
    allowed: NDArray[np.int64],
    count: int,
    rng: np.random.Generator,
) -> SampledVocabulary:
    """Draws the columns of one step.

    Args:
        query_dimensions: Sorted distinct dimensions of the queries, all of them in ``allowed``.
        allowed: Sorted entries that may get a weight.
        count: Random columns; all that are left if they are fewer.
        rng: Source of randomness.

    >>> drawn = sample_vocabulary(np.array([3]), np.arange(10), 3, np.random.default_rng(0))
    >>> drawn.columns[0].item(), len(drawn.columns), drawn.inflation
    (3, 4, 3.0)
    """
    others = np.setdiff1d(allowed, query_dimensions, assume_unique=True)
    drawn = rng.choice(others, min(count, len(others)), replace=False)
    inflation = len(others) / len(drawn) if len(drawn) else 1.0
    columns = np.concatenate([query_dimensions, drawn]).astype(np.int64)
    return SampledVocabulary(columns, len(query_dimensions), inflation)
