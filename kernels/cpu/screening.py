"""Which vocabulary entries of a text can be above zero, found with products of 8-bit numbers.

A state s is about ``s' = scale * level`` and a row w of the vocabulary about w', so that

    |s . w - s' . w'| <= |s'| |w - w'| + |s - s'| |w|

(Cauchy-Schwarz), and an entry whose approximate logit and this bound are together at most zero has
no weight. Of SPLADE-type rows, which have hundreds of weights among tens of thousands of entries,
few others are left to be multiplied in float32. (Rows below 1e-38 beside states above 1e15, whose
norms float32 cannot hold, are not provided for.)
"""

from __future__ import annotations

import numpy as np
from numba import njit

_ROUNDING = 2.0**-23
"""Of a float32, twice: the products that the bound is about are sums of rounded numbers."""
_UNDERFLOW = np.float32(1e-30)
"""Logits this small are candidates too: beside float32's smallest numbers rounding is no share."""


@njit(nogil=True, cache=True)
def quantise_tokens(states, quantised, scales, norms):  # type: ignore[no-untyped-def]
    """Each token's state as 8-bit numbers around 128 with a scale of its own.

    Args:
        states: float32[n, d], finite.
        quantised: uint8[n, d], filled: ``states ~ scale * (quantised - 128)``, within 1 to 255.
        scales: float32[n], filled, > 0.
        norms: float32[n, 2], filled: Euclidean norms of ``scale * (quantised - 128)``, and of what
            it lacks, with the rounding errors of a float32 product.
    """
    depth = states.shape[1]
    for token in range(states.shape[0]):
        largest = np.float32(0)
        for i in range(depth):
            largest = max(largest, abs(states[token, i]))
        scale = largest / np.float32(127) if largest > 0 else np.float32(1)
        if scale == 0:  # the largest is subnormal
            scale = np.float32(1)
        scales[token] = scale
        kept, lost, whole = 0.0, 0.0, 0.0
        for i in range(depth):
            level = min(max(np.rint(states[token, i] / scale), -127), 127)
            quantised[token, i] = np.uint8(level + 128)
            approximate = np.float64(scale) * level
            kept += approximate**2
            lost += (states[token, i] - approximate) ** 2
            whole += np.float64(states[token, i]) ** 2
        norms[token, 0] = np.sqrt(kept)
        norms[token, 1] = np.sqrt(lost) + depth * _ROUNDING * np.sqrt(whole)


@njit(nogil=True, cache=True)
def quantise_rows(rows, largest, levels, scales, norms):  # type: ignore[no-untyped-def]
    """Rows of the vocabulary as 8-bit numbers with a scale of their own.

    Args:
        rows: float32[n, d], finite.
        largest: Largest level; the smallest is its negative.
        levels: int8[n, d], filled: ``rows ~ scale * levels``.
        scales: float32[n], filled, > 0.
        norms: float32[n, 2], filled: Euclidean norms of ``rows - scale * levels`` and of ``rows``.
    """
    for row in range(rows.shape[0]):
        most = np.float32(0)
        for i in range(rows.shape[1]):
            most = max(most, abs(rows[row, i]))
        scale = np.float32(most / largest) if most > 0 else np.float32(1)
        if scale == 0:  # the largest is subnormal
            scale = np.float32(1)
        scales[row] = scale
        lost, whole = 0.0, 0.0
        for i in range(rows.shape[1]):
            level = min(max(np.rint(rows[row, i] / scale), -largest), largest)
            levels[row, i] = np.int8(level)
            lost += (rows[row, i] - np.float64(scale) * level) ** 2
            whole += np.float64(rows[row, i]) ** 2
        norms[row, 0], norms[row, 1] = np.sqrt(lost), np.sqrt(whole)


@njit(nogil=True, cache=True)
def collect_candidates(  # type: ignore[no-untyped-def]
    maxima, scales, bias, norms, excluded, text_norms, first, texts, entries
):
    """Finds the entries of a block of the vocabulary that can be above zero.

    Args:
        maxima: float32[B, C], largest approximate products but for the entries' scales.
        scales: float32[C], > 0.
        bias: float32[C].
        norms: float32[C, 2], those of ``quantise_rows``.
        excluded: bool[C], entries that never get a weight.
        text_norms: float32[B, 2], the largest of ``quantise_tokens`` among a text's tokens.
        first: Vocabulary entry of column 0.
        texts: int64[B * C], filled.
        entries: int64[B * C], filled.

    Returns:
        How many were filled, in order of text, then entry.
    """
    count = 0
    for text in range(maxima.shape[0]):
        # What the comparison itself rounds is far below this part of the bound.
        kept = text_norms[text, 0] * np.float32(1.001)
        lost = text_norms[text, 1] * np.float32(1.001)
        for column in range(maxima.shape[1]):
            logit = maxima[text, column] * scales[column] + bias[column]
            error = kept * norms[column, 0] + lost * norms[column, 1] + _UNDERFLOW
            # What is beyond float32, on the way to a product or in it, says nothing.
            if not excluded[column] and not (-np.inf < logit + error <= 0):
                texts[count] = text
                entries[count] = first + column
                count += 1
    return count
