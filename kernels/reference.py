"""The slow truth: each function is what a kernel must equal, bit for bit, in plain numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def score_rows(
    indptr: NDArray[np.int64],
    dimensions: NDArray[np.uint32],
    impacts: NDArray[np.uint8],
    query: dict[int, int],
) -> NDArray[np.int64]:
    """int64[n] scores: sum over a row's dimensions of query weight times impact."""
    weights = np.zeros(int(dimensions.max(initial=0)) + 1, dtype=np.int64)
    for dimension, weight in query.items():
        if dimension < len(weights):
            weights[dimension] = weight
    contributions = weights[dimensions] * impacts.astype(np.int64)
    cumulated = np.concatenate([[0], np.cumsum(contributions)])
    scores: NDArray[np.int64] = cumulated[indptr[1:]] - cumulated[indptr[:-1]]
    return scores


def top_k(
    scores: NDArray[np.int64], k: int, alive: Sequence[bool] | None = None, threshold: int = 0
) -> list[tuple[int, int]]:
    """The best ``k`` (score, row) pairs above ``threshold``; equal scores by ascending row."""
    rows = np.arange(len(scores))
    keep = scores > threshold
    if alive is not None:
        keep &= np.asarray(alive, dtype=bool)
    order = np.lexsort((rows[keep], -scores[keep]))[:k]
    return [(int(scores[keep][i]), int(rows[keep][i])) for i in order]


def quantise(weights: NDArray[np.float32], scale: float) -> NDArray[np.uint8]:
    """Impacts of positive weights: nearest multiple of ``scale``, within 1..255."""
    return np.clip(np.rint(weights.astype(np.float64) / scale), 1, 255).astype(np.uint8)
