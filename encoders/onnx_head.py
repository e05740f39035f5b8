"""The vocabulary head on ONNX Runtime's matrix products and Numba's folding. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.checkpoint import Pooling
from kernels.cpu.vocabulary_head import (
    collect_positive,
    fold_maximum,
    fold_sum,
    quantise_tokens,
)

TOKENS_AT_ONCE = 256
ENTRIES_AT_ONCE = 512
"""Tokens and vocabulary entries per matrix product: its 512 KiB of logits stay in the cache."""


class OnnxVocabularyHead:
    """Weights of texts from the states of their tokens, straight to sparse rows.

    Neither tokens x vocabulary nor texts x vocabulary is ever held. Safe to share between
    threads.
    """

    def __init__(self, product: Any, tensors: dict[str, NDArray[Any]], pooling: Pooling) -> None:
        """Cuts the projection into contiguous blocks.

        Args:
            product: Session of ``product.onnx``.
            tensors: See ``encoders.exported.read_head``.
            pooling: Pooling and activation.
        """
        weight = tensors["weight"]
        self._product = product
        self._pooling = pooling
        self._logarithms = 2 if pooling.activation == "log1p_relu" else 1
        self._quantised = weight.dtype == np.int8
        self._bias = tensors["bias"]
        self._scale = tensors.get("scale", np.ones(len(weight), np.float32))
        self._blocks = [
            (start, np.ascontiguousarray(weight[start : start + ENTRIES_AT_ONCE].T))
            for start in range(0, len(weight), ENTRIES_AT_ONCE)
        ]

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
        tokens, token_scales = states, np.ones(len(states), np.float32)
        if self._quantised:
            tokens = np.empty(states.shape, np.uint8)
            quantise_tokens(states, tokens, token_scales)
        text_of = np.repeat(np.arange(len(lengths)), lengths)
        barred = np.zeros(len(self._bias), dtype=np.bool_)
        barred[list(excluded)] = True
        found = _Entries(len(lengths) * 2 * ENTRIES_AT_ONCE)
        for start, block in self._blocks:
            columns = slice(start, start + block.shape[1])
            scale, bias = self._scale[columns], self._bias[columns]
            pooled = self._pooled(tokens, token_scales, text_of, len(lengths), block, scale, bias)
            if self._pooling.strategy == "max":
                found.collect(pooled, scale, bias, self._logarithms, barred[columns], start)
            else:
                ones, zeros = np.ones_like(scale), np.zeros_like(bias)
                found.collect(pooled, ones, zeros, 0, barred[columns], start)
        return found.by_text(len(lengths))

    def _pooled(
        self,
        tokens: NDArray[Any],
        token_scales: NDArray[np.float32],
        text_of: NDArray[np.int64],
        text_count: int,
        block: NDArray[Any],
        scale: NDArray[np.float32],
        bias: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        largest = self._pooling.strategy == "max"
        start_value = -np.inf if largest else 0.0
        pooled = np.full((text_count, block.shape[1]), start_value, dtype=np.float32)
        for first in range(0, len(tokens), TOKENS_AT_ONCE):
            part = slice(first, first + TOKENS_AT_ONCE)
            [products] = self._product.run(None, {"tokens": tokens[part], "block": block})
            if largest:
                fold_maximum(products, token_scales[part], text_of[part], pooled)
            else:
                fold_sum(
                    products,
                    token_scales[part],
                    text_of[part],
                    scale,
                    bias,
                    self._logarithms,
                    pooled,
                )
        return pooled


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
