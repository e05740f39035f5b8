"""Which entries of the vocabulary a text can have a weight for, before they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.screening import collect_candidates, quantise_rows, quantise_tokens
from kernels.cpu.token_maxima import (
    ENTRIES,
    LARGEST_LEVEL,
    pack_tokens,
    pack_vocabulary,
    raise_to_8bit_products,
)

PANELS_AT_ONCE = 4096 // ENTRIES
"""Their maxima, 16 KiB per text, and the tokens of a batch stay in the cache."""


class HeadScreen:
    """A vocabulary projection in 8 bits, with bounds of what its products lack.

    Safe to share between threads.
    """

    def __init__(
        self,
        weight: NDArray[Any],
        bias: NDArray[np.float32],
        scale: NDArray[np.float32] | None = None,
    ) -> None:
        """Rounds and packs the projection.

        Args:
            weight: float32[V, d], or int8[V, d] within -63 to 63.
            bias: float32[V].
            scale: float32[V] > 0 of int8 rows, which stand for ``scale * weight``.
        """
        norms = np.zeros((len(weight), 2), np.float32)
        if scale is None:
            levels, scale = np.empty(weight.shape, np.int8), np.empty(len(weight), np.float32)
            quantise_rows(weight, LARGEST_LEVEL, levels, scale, norms)
        else:
            levels = weight
            squares = np.einsum("vd,vd->v", levels, levels, dtype=np.int64)
            norms[:, 1] = scale * np.sqrt(squares)
        self._size = len(levels)
        self._packed = pack_vocabulary(levels)
        width = len(self._packed) * ENTRIES
        self._scale = _filled(scale, width)
        self._bias = _filled(bias, width)
        self._norms = _filled(norms, width)
        self._corrections = _filled(-128 * levels.sum(axis=1, dtype=np.int32), width)

    def candidates(
        self, states: NDArray[np.float32], lengths: NDArray[np.int64], excluded: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Entries of each text whose logits can be above zero; no other's is.

        Args:
            states: float32[T, d], finite, the tokens of all texts one after the other.
            lengths: int64[B] > 0, tokens of each text; their sum is T.
            excluded: Vocabulary entries that are never a candidate.

        Returns:
            int64[B] candidates per text, and the entries, ascending within a text.
        """
        quantised, scales = np.empty(states.shape, np.uint8), np.empty(len(states), np.float32)
        norms = np.empty((len(states), 2), np.float32)
        quantise_tokens(states, quantised, scales, norms)
        packed, tiles, token_of = pack_tokens(quantised, lengths)
        row_scales = scales[token_of]
        text_norms = np.maximum.reduceat(norms, np.cumsum(lengths) - lengths)
        barred = np.zeros(len(self._bias), np.bool_)
        barred[list(excluded)] = True
        barred[self._size :] = True
        block = len(lengths) * PANELS_AT_ONCE * ENTRIES
        buffers = np.empty(block, np.int64), np.empty(block, np.int64)
        found = []
        for first in range(0, len(self._packed), PANELS_AT_ONCE):
            panels = self._packed[first : first + PANELS_AT_ONCE]
            columns = slice(first * ENTRIES, (first + len(panels)) * ENTRIES)
            maxima = np.full((len(lengths), len(panels) * ENTRIES), -np.inf, np.float32)
            raise_to_8bit_products(
                packed, tiles, panels, maxima, self._corrections[columns], row_scales
            )
            count = collect_candidates(
                maxima,
                self._scale[columns],
                self._bias[columns],
                self._norms[columns],
                barred[columns],
                text_norms,
                columns.start,
                *buffers,
            )
            found.append([buffer[:count].copy() for buffer in buffers])
        texts, entries = (np.concatenate(column) for column in zip(*found, strict=True))
        # Blocks come in order of entries, so that a stable order keeps it within a text.
        order = np.argsort(texts, kind="stable")
        return np.bincount(texts, minlength=len(lengths)), entries[order]


def _filled(values: NDArray[Any], size: int) -> NDArray[Any]:
    """The values and, behind them, zeros up to ``size`` in all."""
    whole = np.zeros((size, *values.shape[1:]), values.dtype)
    whole[: len(values)] = values
    return whole
