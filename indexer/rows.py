"""Rows of one part, gathered while a segment is being written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.base import SparseRows
from indexer.format.arrays import read_array, write_array


class RowCollector:
    """Concatenates batches of rows and gives an open vocabulary's terms one numbering.

    Args:
        open_vocabulary: Whether batches come with their own ``terms``.
    """

    def __init__(self, *, open_vocabulary: bool) -> None:
        self._term_ids: dict[str, int] | None = {} if open_vocabulary else None
        self._lengths: list[NDArray[np.int64]] = []
        self._dimensions: list[NDArray[np.uint32]] = []
        self._weights: list[NDArray[np.float32]] = []
        self._spilled: Path | None = None
        self.nnz = 0
        self.max_weight = 0.0

    def append(self, rows: SparseRows) -> None:
        """Adds a batch."""
        dimensions = rows.dimensions
        if self._term_ids is not None:
            ids = self._term_ids
            numbers = [ids.setdefault(term, len(ids)) for term in rows.terms or ()]
            dimensions = np.array(numbers, dtype=np.uint32)[dimensions]
        self._lengths.append(np.diff(rows.indptr))
        self._dimensions.append(dimensions)
        self._weights.append(rows.weights)
        self.nnz += rows.nnz
        if rows.nnz:
            self.max_weight = max(self.max_weight, float(rows.weights.max()))

    def spill(self, prefix: Path) -> None:
        """Moves the gathered rows to files, to give their memory back."""
        rows = self._concatenate()
        arrays: list[NDArray[Any]] = [rows.indptr, rows.dimensions, rows.weights]
        for path, array in zip(self._paths(prefix), arrays, strict=True):
            write_array(path, array)
        self._spilled = prefix
        self._lengths, self._dimensions, self._weights = [], [], []

    def reweigh(self, weigh: Callable[[SparseRows], SparseRows]) -> None:
        """Replaces the weights of spilled rows by a function of these rows."""
        if self._spilled is None or not self.nnz:
            return
        path = self._paths(self._spilled)[2]
        weights = weigh(self._load(self._spilled)).weights
        self.max_weight = float(weights.max())
        # A new file: the old one may still be mapped.
        replacement = path.with_suffix(".new")
        write_array(replacement, weights)
        replacement.replace(path)

    def take(self) -> SparseRows:
        """All rows, and empties the collector; an open vocabulary's terms come sorted."""
        rows = self._concatenate() if self._spilled is None else self._reload(self._spilled)
        self._lengths, self._dimensions, self._weights = [], [], []
        if self._term_ids is None:
            return rows
        terms = list(self._term_ids)
        self._term_ids = {}
        # Order of the UTF-8 bytes, which for valid text is the order of code points.
        order = sorted(range(len(terms)), key=terms.__getitem__)
        rank = np.empty(len(terms), dtype=np.uint32)
        rank[order] = np.arange(len(terms), dtype=np.uint32)
        return SparseRows(
            rows.indptr, rank[rows.dimensions], rows.weights, [terms[number] for number in order]
        )

    def _concatenate(self) -> SparseRows:
        lengths = np.concatenate([np.zeros(1, dtype=np.int64), *self._lengths])
        dimensions = np.concatenate([np.zeros(0, dtype=np.uint32), *self._dimensions])
        self._dimensions = []
        weights = np.concatenate([np.zeros(0, dtype=np.float32), *self._weights])
        self._weights = []
        return SparseRows(np.cumsum(lengths), dimensions, weights)

    @staticmethod
    def _paths(prefix: Path) -> list[Path]:
        names = ("indptr", "dimensions", "weights")
        return [prefix.with_name(f"{prefix.name}.{name}.npy") for name in names]

    def _load(self, prefix: Path) -> SparseRows:
        indptr, dimensions, weights = self._paths(prefix)
        return SparseRows(
            read_array(indptr, np.int64),
            read_array(dimensions, np.uint32),
            read_array(weights, np.float32),
        )

    def _reload(self, prefix: Path) -> SparseRows:
        rows = self._load(prefix)
        for path in self._paths(prefix):
            path.unlink()
        return rows


class TextStatistics:
    """Document frequencies and token count of a part's text, summed over batches.

    Args:
        vocabulary_size: Size of a fixed vocabulary.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self.doc_freq = np.zeros(vocabulary_size, dtype=np.uint32)
        self.token_count = 0

    def append(self, counts: SparseRows) -> None:
        """Adds a batch of token counts."""
        self.doc_freq += np.bincount(counts.dimensions, minlength=len(self.doc_freq)).astype(
            np.uint32
        )
        self.token_count += int(counts.weights.sum(dtype=np.float64))
