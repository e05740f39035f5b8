"""The vocabulary head of both engines on a CPU: packed states in, sparse rows out. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.checkpoint import Pooling
from encoders.head_screen import PANELS_AT_ONCE, HeadScreen
from kernels.cpu.token_maxima import (
    EIGHT_BIT_PRODUCTS,
    ENTRIES,
    chosen_maxima,
    pack_tokens,
    pack_vocabulary,
    raise_to_products,
)
from kernels.cpu.vocabulary_head import collect_positive, fold_sum, take_logarithms

FETCH = 64
"""Products with so many tokens take as long as fetching a row of the vocabulary does."""

SparseBatch = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]


class CpuVocabularyHead:
    """Weights of texts from the states of their tokens, straight to sparse rows.

    Neither tokens x vocabulary nor texts x vocabulary is ever held, and padding is never
    multiplied. With maxima, and where the processor multiplies bytes, 8-bit products tell which
    entries of a text can be above zero, and only these are computed in float32: the rows are the
    same, bit for bit. A text's row has the same bits in any company. Safe to share between threads.
    """

    def __init__(
        self,
        weight: NDArray[Any],
        bias: NDArray[np.float32],
        pooling: Pooling,
        scale: NDArray[np.float32] | None = None,
        *,
        screened: bool = EIGHT_BIT_PRODUCTS,
    ) -> None:
        """Takes the projection, which is not copied where it need not be packed.

        Args:
            weight: float32[V, d], or int8[V, d] within -63 to 63.
            bias: float32[V].
            pooling: Pooling and activation.
            scale: float32[V] > 0 of int8 rows, which stand for ``scale * weight``.
            screened: Whether 8-bit products come first.
        """
        self._pooling = pooling
        self._logarithms = 2 if pooling.activation == "log1p_relu" else 1
        self._bias = bias
        self._screen: HeadScreen | None = None
        if screened and pooling.strategy == "max":
            self._screen = HeadScreen(weight, bias, scale)
            self._rows = np.ascontiguousarray(weight)
            self._scale = np.ones(len(weight), np.float32) if scale is None else scale
        else:
            self._packed = pack_vocabulary(weight if scale is None else weight * scale[:, None])

    def rows(
        self, states: NDArray[np.float32], lengths: NDArray[np.int64], excluded: Sequence[int]
    ) -> SparseBatch:
        """Sparse rows of a batch.

        Args:
            states: float32[T, d], finite, the tokens of all texts one after the other.
            lengths: int64[B] > 0, tokens of each text; their sum is T.
            excluded: Vocabulary entries that get no weight.

        Returns:
            int64[B] weights per text, their dimensions, ascending within a text, and values.
        """
        if self._screen is not None:
            counts, entries = self._screen.candidates(states, lengths, excluded)
            found = self._chosen(states, lengths, counts, entries)
        else:
            found = self._all(states, lengths, excluded)
        take_logarithms(found[2], self._logarithms if self._pooling.strategy == "max" else 0)
        return found

    def _chosen(
        self,
        states: NDArray[np.float32],
        lengths: NDArray[np.int64],
        counts: NDArray[np.int64],
        entries: NDArray[np.int64],
    ) -> SparseBatch:
        """The logits above zero among some entries of each text."""
        packed, tiles, _ = pack_tokens(states, lengths)
        text_of = np.repeat(np.arange(len(lengths)), counts)
        together = np.unique(entries)
        # Rows that are fetched once and multiplied with all tokens, or for each text again.
        if len(together) * (FETCH + lengths.sum()) < (counts * (FETCH + lengths)).sum():
            logits = self._together(packed, tiles, len(lengths), text_of, entries, together)
        else:
            starts = np.concatenate(([0], np.cumsum(counts)))
            logits = np.empty(len(entries), np.float32)
            chosen_maxima(packed, tiles, self._rows, self._scale, entries, starts, logits)
        logits += self._bias[entries]
        above = logits > 0
        kept = np.bincount(text_of[above], minlength=len(lengths))
        return kept, entries[above].astype(np.uint32), logits[above]

    def _together(
        self,
        packed: NDArray[np.float32],
        tiles: NDArray[np.int64],
        text_count: int,
        text_of: NDArray[np.int64],
        entries: NDArray[np.int64],
        together: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """The largest product of each entry and its text, of all entries with all texts."""
        place = np.searchsorted(together, entries)
        found = np.empty(len(entries), np.float32)
        for first in range(0, len(together), PANELS_AT_ONCE * ENTRIES):
            rows = together[first : first + PANELS_AT_ONCE * ENTRIES]
            panels = pack_vocabulary(self._rows[rows] * self._scale[rows, None])
            maxima = np.full((text_count, len(panels) * ENTRIES), -np.inf, dtype=np.float32)
            raise_to_products(packed, tiles, panels, maxima)
            here = (place >= first) & (place < first + len(rows))
            found[here] = maxima[text_of[here], place[here] - first]
        return found

    def _all(
        self, states: NDArray[np.float32], lengths: NDArray[np.int64], excluded: Sequence[int]
    ) -> SparseBatch:
        """The logits, or sums of weights, above zero among all entries."""
        whole = self._pooling.strategy == "max"
        # For sums the activation comes before the pooling: every token is a text of its own.
        groups = lengths if whole else np.ones(len(states), np.int64)
        packed, tiles, _ = pack_tokens(states, groups)
        text_of = np.repeat(np.arange(len(lengths)), lengths)
        width = len(self._packed) * ENTRIES
        bias = np.full(width, -np.inf, np.float32)
        bias[: len(self._bias)] = self._bias
        barred = np.zeros(width, np.bool_)
        barred[list(excluded)] = True
        block = len(lengths) * PANELS_AT_ONCE * ENTRIES
        buffers = np.empty(block, np.int64), np.empty(block, np.uint32), np.empty(block, np.float32)
        found = []
        for first in range(0, len(self._packed), PANELS_AT_ONCE):
            panels = self._packed[first : first + PANELS_AT_ONCE]
            columns = slice(first * ENTRIES, (first + len(panels)) * ENTRIES)
            added = bias[columns]
            pooled = np.full((len(groups), len(added)), -np.inf, dtype=np.float32)
            raise_to_products(packed, tiles, panels, pooled)
            if not whole:
                sums = np.zeros((len(lengths), len(added)), dtype=np.float32)
                fold_sum(pooled, text_of, added, self._logarithms, sums)
                pooled, added = sums, np.zeros_like(added)
            count = collect_positive(pooled, added, barred[columns], columns.start, *buffers)
            found.append([buffer[:count].copy() for buffer in buffers])
        texts, dimensions, values = (np.concatenate(column) for column in zip(*found, strict=True))
        # Blocks come in order of dimension, so that a stable order keeps it within a text.
        order = np.argsort(texts, kind="stable")
        counts = np.bincount(texts, minlength=len(lengths))
        return counts, dimensions[order], values[order]
