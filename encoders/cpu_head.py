"""The vocabulary head of both engines on a CPU: packed states in, sparse rows out. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.checkpoint import Pooling
from kernels.cpu.token_maxima import (
    EIGHT_BIT_PRODUCTS,
    ENTRIES,
    pack_tokens,
    pack_vocabulary,
    raise_to_8bit_products,
    raise_to_products,
)
from kernels.cpu.vocabulary_head import collect_positive, fold_sum, quantise_tokens

PANELS_AT_ONCE = 4096 // ENTRIES
"""Their maxima, 16 KiB per text, and the tokens of a batch stay in the cache."""


class CpuVocabularyHead:
    """Weights of texts from the states of their tokens, straight to sparse rows.

    Neither tokens x vocabulary nor texts x vocabulary is ever held, and padding is never
    multiplied. A text's row has the same bits in any company. Safe to share between threads.
    """

    def __init__(
        self,
        weight: NDArray[Any],
        bias: NDArray[np.float32],
        pooling: Pooling,
        scale: NDArray[np.float32] | None = None,
    ) -> None:
        """Packs the projection.

        Args:
            weight: float32[V, d], or int8[V, d] within -63 to 63.
            bias: float32[V].
            pooling: Pooling and activation.
            scale: float32[V] > 0 of int8 rows. A processor without products of bytes computes
                with ``scale * weight`` and unquantised states.
        """
        if scale is not None and not EIGHT_BIT_PRODUCTS:
            weight, scale = weight * scale[:, None], None
        self._quantised = scale is not None
        self._pooling = pooling
        self._logarithms = 2 if pooling.activation == "log1p_relu" else 1
        self._packed = pack_vocabulary(weight)
        width = len(self._packed) * ENTRIES
        self._bias = _filled(bias, width, -np.inf)
        self._scale = _filled(np.ones_like(bias) if scale is None else scale, width, 1)
        sums = weight.sum(axis=1, dtype=np.int32) if self._quantised else np.zeros(0, np.int32)
        self._corrections = _filled(-128 * sums, width, 0)

    def rows(
        self, states: NDArray[np.float32], lengths: NDArray[np.int64], excluded: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
        """Sparse rows of a batch.

        Args:
            states: float32[T, d], finite, the tokens of all texts one after the other.
            lengths: int64[B] > 0, tokens of each text; their sum is T.
            excluded: Vocabulary entries that get no weight.

        Returns:
            int64[B] weights per text, their dimensions, ascending within a text, and values.
        """
        whole = self._pooling.strategy == "max"
        # For sums the activation comes before the pooling: every token is a text of its own.
        groups = lengths if whole else np.ones(len(states), np.int64)
        operands, scales = self._operands(states, groups)
        text_of = np.repeat(np.arange(len(lengths)), lengths)
        barred = np.zeros(len(self._bias), dtype=np.bool_)
        barred[list(excluded)] = True
        found = _Entries(len(lengths) * PANELS_AT_ONCE * ENTRIES)
        for first in range(0, len(self._packed), PANELS_AT_ONCE):
            panels = self._packed[first : first + PANELS_AT_ONCE]
            columns = slice(first * ENTRIES, (first + len(panels)) * ENTRIES)
            scale, bias = self._scale[columns], self._bias[columns]
            largest = np.full((len(groups), len(bias)), -np.inf, dtype=np.float32)
            if self._quantised:
                corrections = self._corrections[columns]
                raise_to_8bit_products(*operands, panels, largest, corrections, scales)
            else:
                raise_to_products(*operands, panels, largest)
            logarithms = self._logarithms
            if not whole:
                sums = np.zeros((len(lengths), len(bias)), dtype=np.float32)
                ones = np.ones(len(states), np.float32)
                fold_sum(largest, ones, text_of, scale, bias, logarithms, sums)
                largest, logarithms = sums, 0
                scale, bias = np.ones_like(scale), np.zeros_like(bias)
            found.collect(largest, scale, bias, logarithms, barred[columns], columns.start)
        return found.by_text(len(lengths))

    def _operands(
        self, states: NDArray[np.float32], groups: NDArray[np.int64]
    ) -> tuple[tuple[NDArray[Any], NDArray[np.int64]], NDArray[np.float32]]:
        """Packed states with their tiles, and the scales of the packed rows."""
        if not self._quantised:
            packed, tiles, _ = pack_tokens(states, groups)
            return (packed, tiles), np.empty(0, np.float32)
        quantised, scales = np.empty(states.shape, np.uint8), np.empty(len(states), np.float32)
        quantise_tokens(states, quantised, scales)
        packed, tiles, token_of = pack_tokens(quantised, groups)
        return (packed, tiles), scales[token_of]


class _Entries:
    """Growing arrays of (text, dimension, weight)."""

    def __init__(self, capacity: int) -> None:
        self._count = 0
        self._texts = np.empty(capacity, np.int64)
        self._dimensions = np.empty(capacity, np.uint32)
        self._weights = np.empty(capacity, np.float32)

    def collect(
        self,
        pooled: NDArray[np.float32],
        scale: NDArray[np.float32],
        bias: NDArray[np.float32],
        logarithms: int,
        excluded: NDArray[np.bool_],
        first: int,
    ) -> None:
        """See ``kernels.cpu.vocabulary_head.collect_positive``."""
        needed = self._count + pooled.size
        if needed > len(self._texts):
            capacity = max(needed, 2 * len(self._texts))
            for name in ("_texts", "_dimensions", "_weights"):
                old = getattr(self, name)
                new = np.empty(capacity, old.dtype)
                new[: self._count] = old[: self._count]
                setattr(self, name, new)
        self._count = collect_positive(
            pooled,
            scale,
            bias,
            logarithms,
            excluded,
            first,
            self._count,
            self._texts,
            self._dimensions,
            self._weights,
        )

    def by_text(
        self, text_count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
        """Counts per text, and the entries in order of text and dimension."""
        texts = self._texts[: self._count]
        # Blocks come in order of dimension, so that a stable order keeps it within a text.
        order = np.argsort(texts, kind="stable")
        counts = np.bincount(texts, minlength=text_count)
        return counts, self._dimensions[order], self._weights[order]


def _filled(values: NDArray[Any], size: int, value: float) -> NDArray[Any]:
    """The values and, behind them, ``value`` up to ``size`` entries in all."""
    whole = np.full(size, value, dtype=values.dtype)
    whole[: len(values)] = values
    return whole
