"""Rows of one part, gathered while a segment is being written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from encoders.base import SparseRows
from indexer.format.arrays import read_array, write_array, write_array_header

CHUNK_ROWS = 1 << 13
"""Rows that are weighed at a time."""

PIECE = 1 << 20
"""Numbers that are copied at a time."""


class RowCollector:
    """Writes batches of rows to files, and gives an open vocabulary's terms one numbering.

    Call :meth:`append` for batches, :meth:`finish` once at the end, and then :meth:`reweigh` and
    :meth:`take`.

    Args:
        prefix: Path and beginning of the names of the files.
        open_vocabulary: Whether batches come with their own ``terms``.
    """

    def __init__(self, prefix: Path, *, open_vocabulary: bool) -> None:
        self._prefix = prefix
        self._term_ids: dict[str, int] | None = {} if open_vocabulary else None
        self._lengths: list[NDArray[np.int64]] = []
        self.rank: NDArray[np.uint32] | None = None
        self._dimensions, self._weights = (path.open("wb") for path in self._raw_paths())
        self.nnz = 0
        self.max_weight = 0.0

    def append(self, rows: SparseRows) -> None:
        """Adds a batch."""
        dimensions = self.numbers(rows)
        self._lengths.append(np.diff(rows.indptr))
        self._dimensions.write(np.ascontiguousarray(dimensions, dtype=np.uint32).data)
        self._weights.write(np.ascontiguousarray(rows.weights, dtype=np.float32).data)
        self.nnz += rows.nnz
        if rows.nnz:
            self.max_weight = max(self.max_weight, float(rows.weights.max()))

    def numbers(self, rows: SparseRows) -> NDArray[np.uint32]:
        """The dimensions of a batch, an open vocabulary's in the numbering until the end."""
        if self._term_ids is None:
            return rows.dimensions
        ids = self._term_ids
        numbers = [ids.setdefault(term, len(ids)) for term in rows.terms or ()]
        return np.array(numbers, dtype=np.uint32)[rows.dimensions]

    def finish(self) -> list[str] | None:
        """Ends adding. ``rank`` says which position each number of an open vocabulary gets.

        Returns:
            An open vocabulary's terms, sorted: dimensions are their positions from now on.
        """
        terms = rank = None
        if self._term_ids is not None:
            terms = sorted(self._term_ids)  # by code points, which is by bytes of UTF-8
            rank = self.rank = np.empty(len(terms), dtype=np.uint32)
            rank[[self._term_ids[term] for term in terms]] = np.arange(len(terms), dtype=np.uint32)
            self._term_ids = {}
        self._dimensions.close()
        self._weights.close()
        indptr, dimensions, weights = self._paths()
        raw_dimensions, raw_weights = self._raw_paths()
        lengths = np.concatenate([np.zeros(1, dtype=np.int64), *self._lengths])
        write_array(indptr, np.cumsum(lengths))
        self._lengths = []
        numbers = _read_pieces(raw_dimensions, np.uint32)
        ranked = numbers if rank is None else (rank[piece] for piece in numbers)
        _write_pieces(dimensions, np.uint32, self.nnz, ranked)
        _write_pieces(weights, np.float32, self.nnz, _read_pieces(raw_weights, np.float32))
        return terms

    def reweigh(self, weigh: Callable[[SparseRows], SparseRows]) -> None:
        """Replaces the weights of all rows by a function of these rows.

        Args:
            weigh: Its result for a row does not depend on other rows.
        """
        rows = self._load()
        self.max_weight = 0.0

        def pieces() -> Iterator[NDArray[np.float32]]:
            for first in range(0, len(rows), CHUNK_ROWS):
                indptr = rows.indptr[first : first + CHUNK_ROWS + 1]
                chunk = slice(indptr[0], indptr[-1])
                weights = weigh(
                    SparseRows(indptr - indptr[0], rows.dimensions[chunk], rows.weights[chunk])
                ).weights
                self.max_weight = max(self.max_weight, float(weights.max(initial=0.0)))
                yield weights

        # A new file: the old one may still be mapped.
        path = self._paths()[2]
        replacement = path.with_suffix(".new")
        _write_pieces(replacement, np.float32, self.nnz, pieces())
        replacement.replace(path)

    def take(self) -> SparseRows:
        """All rows, memory-mapped, and removes their files; terms come from :meth:`finish`."""
        rows = self._load()
        for path in self._paths():
            path.unlink()
        return rows

    def _paths(self) -> list[Path]:
        names = ("indptr", "dimensions", "weights")
        return [self._prefix.with_name(f"{self._prefix.name}.{name}.npy") for name in names]

    def _raw_paths(self) -> list[Path]:
        names = ("dimensions", "weights")
        return [self._prefix.with_name(f"{self._prefix.name}.{name}.raw") for name in names]

    def _load(self) -> SparseRows:
        indptr, dimensions, weights = self._paths()
        return SparseRows(
            read_array(indptr, np.int64),
            read_array(dimensions, np.uint32),
            read_array(weights, np.float32),
        )


def _read_pieces(path: Path, dtype: DTypeLike) -> Iterator[NDArray[Any]]:
    """The numbers in a file without a header, in pieces; the file is removed at the end."""
    with path.open("rb") as file:
        while len(piece := np.fromfile(file, dtype, PIECE)):
            yield piece
    path.unlink()


def _write_pieces(path: Path, dtype: DTypeLike, size: int, pieces: Iterable[NDArray[Any]]) -> None:
    """Writes the concatenation of arrays as one array of ``size`` elements."""
    with path.open("wb") as file:
        write_array_header(file, dtype, (size,))
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype=dtype).data)


class TextStatistics:
    """Document frequencies and token count of a part's text, summed over batches.

    Args:
        vocabulary_size: Size of a fixed vocabulary; an open one grows.
    """

    def __init__(self, vocabulary_size: int = 0) -> None:
        self.token_count = 0
        self._doc_freq = np.zeros(vocabulary_size, dtype=np.uint32)

    def append(self, counts: SparseRows, dimensions: NDArray[np.uint32]) -> None:
        """Adds a batch of token counts, their dimensions numbered as all batches are."""
        new = int(dimensions.max(initial=0)) + 1 - len(self._doc_freq)
        if new > 0:  # Twice the room: an open vocabulary grows with every batch.
            room = np.zeros(max(new, len(self._doc_freq)), dtype=np.uint32)
            self._doc_freq = np.concatenate([self._doc_freq, room])
        self._doc_freq += np.bincount(dimensions, minlength=len(self._doc_freq)).astype(np.uint32)
        self.token_count += int(counts.weights.sum(dtype=np.float64))

    def doc_freq(self, rank: NDArray[np.uint32] | None) -> NDArray[np.uint32]:
        """Document frequencies; those of an open vocabulary in the positions of ``rank``."""
        if rank is None:
            return self._doc_freq
        doc_freq = np.zeros(len(rank), dtype=np.uint32)
        counted = self._doc_freq[: len(rank)]
        doc_freq[rank[: len(counted)]] = counted
        return doc_freq
