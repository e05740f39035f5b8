"""Vocabulary head of a SPLADE-type encoder: from products of tokens and vocabulary to weights.

``token_maxima`` multiplies and keeps the maxima; the functions here quantise its operands, sum up
where a checkpoint pools by sums, and keep of a text only what is above zero.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def fold_sum(  # type: ignore[no-untyped-def]
    products, token_scales, text_of, column_scales, bias, logarithms, pooled
):
    """Adds the activations of tokens to the sums of their texts, for ``sum`` pooling.

    Args:
        products: float32[n, C].
        token_scales: float32[n], > 0, factor of each token's products.
        text_of: int64[n], row of ``pooled`` that a token belongs to.
        column_scales: float32[C], > 0, factor of each vocabulary entry's products.
        bias: float32[C].
        logarithms: 1 for ``log1p(relu(z))``, 2 for ``log1p(log1p(relu(z)))``.
        pooled: float32[B, C], updated.
    """
    for token in range(products.shape[0]):
        scale = token_scales[token]
        row = pooled[text_of[token]]
        for column in range(products.shape[1]):
            product = np.float32(products[token, column])
            logit = product * scale * column_scales[column] + bias[column]
            if logit > 0:
                row[column] += _logarithm(logit, logarithms)


@njit(nogil=True, cache=True)
def collect_positive(  # type: ignore[no-untyped-def]
    pooled, column_scales, bias, logarithms, excluded, first, count, texts, dimensions, weights
):
    """Appends the weights above zero of a block of the vocabulary.

    Args:
        pooled: float32[B, C].
        column_scales: float32[C], > 0, factor of each vocabulary entry's products.
        bias: float32[C], added to the scaled maxima.
        logarithms: How often ``log1p`` is taken: 0 for sums of activations, 1 or 2 for maxima.
        excluded: bool[C], entries that never get a weight.
        first: Vocabulary entry of column 0.
        count: Entries in use of the three arrays that follow.
        texts: int64[capacity], filled from ``count``; room for B * C more is the caller's care.
        dimensions: uint32[capacity], the same.
        weights: float32[capacity], the same.

    Returns:
        The new count. Entries are in order of text, then dimension.
    """
    for text in range(pooled.shape[0]):
        for column in range(pooled.shape[1]):
            logit = pooled[text, column] * column_scales[column] + bias[column]
            if logit > 0 and not excluded[column]:
                weight = _logarithm(logit, logarithms)
                if weight > 0:
                    texts[count] = text
                    dimensions[count] = first + column
                    weights[count] = weight
                    count += 1
    return count


@njit(nogil=True, cache=True)
def quantise_tokens(states, quantised, scales):  # type: ignore[no-untyped-def]
    """Each token's state as 8-bit numbers around 128 with a scale of its own.

    Args:
        states: float32[n, d], finite.
        quantised: uint8[n, d], filled: ``states ~ scale * (quantised - 128)``, within 1 to 255.
        scales: float32[n], filled, > 0.
    """
    for token in range(states.shape[0]):
        largest = np.float32(0)
        for i in range(states.shape[1]):
            largest = max(largest, abs(states[token, i]))
        scale = largest / np.float32(127) if largest > 0 else np.float32(1)
        scales[token] = scale
        for i in range(states.shape[1]):
            level = np.rint(states[token, i] / scale)
            quantised[token, i] = np.uint8(min(max(level, -127), 127) + 128)


@njit(nogil=True, cache=True)
def _logarithm(value, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        value = np.log1p(value)
    return value
