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


def pooled_weights(
    products: NDArray[np.float32],
    text_of: NDArray[np.int64],
    bias: NDArray[np.float32],
    *,
    logarithms: int,
    strategy: str,
) -> NDArray[np.float32]:
    """float32[B, C] weights of texts from the products of their tokens with the vocabulary.

    With logits z of the tokens i of a text, ``f(max_i z_i)`` or ``sum_i f(z_i)``, where f takes
    the logarithm ``log1p`` of what is above zero once or twice. The logarithm's last bit is the
    C library's own.
    """
    logits = products.astype(np.float32) + bias
    activations = np.maximum(logits, np.float32(0))
    for _ in range(logarithms):
        activations = np.log1p(activations)
    pooled = np.zeros((int(text_of.max(initial=-1)) + 1, len(bias)), dtype=np.float32)
    (np.maximum if strategy == "max" else np.add).at(pooled, text_of, activations)
    return pooled


def quantise_tokens(
    states: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """uint8[n, d] around 128 and float32[n] scales: ``states ~ scale * (quantised - 128)``."""
    largest = np.abs(states).max(axis=1, initial=0)
    scales = (largest / np.float32(127)).astype(np.float32)
    scales[scales == 0] = 1
    levels = np.clip(np.rint(states / scales[:, None]), -127, 127)
    return (levels + 128).astype(np.uint8), scales
