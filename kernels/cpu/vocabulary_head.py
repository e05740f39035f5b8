"""Vocabulary head of a SPLADE-type encoder: from products of tokens and vocabulary to weights.

``token_maxima`` multiplies and keeps the maxima; the functions here sum up where a checkpoint pools
by sums, keep of a text only what is above zero, and take the logarithms.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def fold_sum(products, text_of, bias, logarithms, pooled):  # type: ignore[no-untyped-def]
    """Adds the activations of tokens to the sums of their texts, for ``sum`` pooling.

    Args:
        products: float32[n, C].
        text_of: int64[n], row of ``pooled`` that a token belongs to.
        bias: float32[C].
        logarithms: 1 for ``log1p(relu(z))``, 2 for ``log1p(log1p(relu(z)))``.
        pooled: float32[B, C], updated.
    """
    for token in range(products.shape[0]):
        row = pooled[text_of[token]]
        for column in range(products.shape[1]):
            logit = products[token, column] + bias[column]
            if logit > 0:
                row[column] += _logarithm(logit, logarithms)


@njit(nogil=True, cache=True)
def collect_positive(  # type: ignore[no-untyped-def]
    pooled, bias, excluded, first, texts, dimensions, values
):
    """Finds what is above zero in a block of the vocabulary.

    Args:
        pooled: float32[B, C].
        bias: float32[C], added.
        excluded: bool[C], entries that never get a weight.
        first: Vocabulary entry of column 0.
        texts: int64[B * C], filled.
        dimensions: uint32[B * C], filled.
        values: float32[B * C], filled.

    Returns:
        How many were filled, in order of text, then dimension.
    """
    count = 0
    for text in range(pooled.shape[0]):
        for column in range(pooled.shape[1]):
            value = pooled[text, column] + bias[column]
            if value > 0 and not excluded[column]:
                texts[count] = text
                dimensions[count] = first + column
                values[count] = value
                count += 1
    return count


@njit(nogil=True, cache=True)
def take_logarithms(values, times):  # type: ignore[no-untyped-def]
    """Replaces logits by their weights.

    Args:
        values: float32[n], updated: ``log1p`` so many times.
        times: 0 for what are weights already.
    """
    for i in range(len(values)):
        values[i] = _logarithm(values[i], times)


@njit(nogil=True, cache=True)
def _logarithm(value, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        value = np.log1p(value)
    return value
