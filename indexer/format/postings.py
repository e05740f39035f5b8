"""Postings of one space in one segment: inverted from rows, stored windowed, checked when opened.

The layout is described in ``kernels.cpu.inversion``. Dimensions of the space's parts follow each
other: part ``p`` owns ``part_start[p]:part_start[p + 1]``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.errors import IndexCorruptError
from indexer.format.arrays import check_offsets, read_array, write_array
from kernels.cpu.inversion import (
    KTH_RANKS,
    best_impacts,
    classify,
    count_dimensions,
    head_offsets,
    invert,
    lay_out,
    posting_offsets,
)
from kernels.cpu.layout import RARE, WindowedLayout
from kernels.cpu.processors import usable_cpus

WINDOW_BITS = 14
"""Windows of 16,384 rows: their 32-bit accumulators are 64 KiB, which a second-level cache has, and
fewer windows mean fewer visits."""

LEAST_WINDOW_BITS = 10
"""Smaller segments get windows as small as themselves, but no smaller than 1,024 rows."""

RARE_FACTOR = 8
"""A dimension with fewer than 8 postings per window gets no window directory."""

DENSE_FRACTION = 0.22
"""Above this share of the rows a column of bytes is faster than postings."""

RANGES = 16
"""Into so many ranges of dimensions an inversion is divided: each reads all rows once, and lists of
one range per thread, of 5 bytes a posting, are all that it needs beside its result."""

SMALLEST_RANGE = 1 << 20
"""Postings below which a range is not worth a pass over the rows."""

MOST_THREADS = 4
"""Of an inversion: more would hold more lists at a time."""


@dataclass(frozen=True)
class Postings:
    """The arrays that ``kernels.cpu.layout.WindowedLayout`` describes, and what names them."""

    posting_start: NDArray[np.int64]
    local_ids: NDArray[np.uint16]
    impacts: NDArray[np.uint8]
    rare_windows: NDArray[np.uint16]
    rare_start: NDArray[np.int64]
    directory: NDArray[np.int32]
    window_start: NDArray[np.uint32]
    window_max: NDArray[np.uint8]
    columns: NDArray[np.uint8]
    column_max: NDArray[np.uint8]
    max_impact: NDArray[np.uint8]
    kth_impact: NDArray[np.uint8]
    head_start: NDArray[np.int64]
    head_rows: NDArray[np.uint32]
    head_impacts: NDArray[np.uint8]
    window_bits: int
    row_count: int
    path: Path = Path("postings")
    """What errors name: prefix of the files."""

    @cached_property
    def layout(self) -> WindowedLayout:
        """What the scoring kernel takes: the same arrays, read-only, for which it is compiled."""
        arrays = {name: getattr(self, name).view() for name in _DTYPES}
        for array in arrays.values():
            array.flags.writeable = False
        return WindowedLayout(**arrays, window_bits=self.window_bits, row_count=self.row_count)

    def postings(self, dimension: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Ascending rows int64[n] and impacts uint8[n] of one dimension, decoded.

        This is the readable way to a posting list; searching never decodes whole lists.
        """
        form = int(self.directory[dimension])
        if form <= -2:
            column = self.columns[-2 - form]
            rows = np.flatnonzero(column)
            return self._within(rows), column[rows]
        first, last = int(self.posting_start[dimension]), int(self.posting_start[dimension + 1])
        local = self.local_ids[first:last].astype(np.int64)
        if form == RARE:
            begin = int(self.rare_start[dimension])
            windows = self.rare_windows[begin : begin + last - first].astype(np.int64)
        else:
            counts = np.diff(self.window_start[form].astype(np.int64))
            windows = np.repeat(np.arange(len(counts)), counts)
        rows = (windows << self.window_bits) | local
        return self._within(rows), self.impacts[first:last]

    def _within(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows, if there are so many: readers index with them."""
        if len(rows) and int(rows.max()) >= self.row_count:
            raise IndexCorruptError(self.path, f"a posting of row {rows.max()} of {self.row_count}")
        return rows

    def impact(self, dimension: int, row: int) -> int:
        """Impact of one dimension in one row, 0 if it has none."""
        if int(self.directory[dimension]) <= -2:
            return int(self.columns[-2 - int(self.directory[dimension]), row])
        first, last = int(self.posting_start[dimension]), int(self.posting_start[dimension + 1])
        form = int(self.directory[dimension])
        window = row >> self.window_bits
        if form == RARE:
            begin = int(self.rare_start[dimension])
            windows = self.rare_windows[begin : begin + last - first]
            start, end = np.searchsorted(windows, [window, window + 1]).tolist()
        else:
            start, end = self.window_start[form, window : window + 2].tolist()
        first, last = first + start, first + end
        local = row & ((1 << self.window_bits) - 1)
        at = first + int(np.searchsorted(self.local_ids[first:last], local))
        return int(self.impacts[at]) if at < last and self.local_ids[at] == local else 0

    @property
    def posting_count(self) -> int:
        """Number of stored (dimension, row) pairs."""
        return len(self.local_ids) + int(np.count_nonzero(self.columns))


_DTYPES: dict[str, tuple[type, int]] = {
    "posting_start": (np.int64, 1),
    "local_ids": (np.uint16, 1),
    "impacts": (np.uint8, 1),
    "rare_windows": (np.uint16, 1),
    "rare_start": (np.int64, 1),
    "directory": (np.int32, 1),
    "window_start": (np.uint32, 2),
    "window_max": (np.uint8, 2),
    "columns": (np.uint8, 2),
    "column_max": (np.uint8, 2),
    "max_impact": (np.uint8, 1),
    "kth_impact": (np.uint8, 2),
    "head_start": (np.int64, 1),
    "head_rows": (np.uint32, 1),
    "head_impacts": (np.uint8, 1),
}


@dataclass(frozen=True)
class ImpactRows:
    """One part's rows of a segment, quantised.

    Attributes:
        indptr: int64[n + 1].
        dimensions: uint32[nnz], below ``dimension_count``, in any order within a row.
        impacts: uint8[nnz], >= 1.
        dimension_count: Size of the part's vocabulary in this segment.
    """

    indptr: NDArray[np.int64]
    dimensions: NDArray[np.uint32]
    impacts: NDArray[np.uint8]
    dimension_count: int


def window_bits_for(row_count: int) -> int:
    """log2 of the window size of a segment of so many rows.

    >>> window_bits_for(500), window_bits_for(5_000), window_bits_for(500_000)
    (10, 13, 14)
    """
    return min(WINDOW_BITS, max(LEAST_WINDOW_BITS, (row_count - 1).bit_length()))


def build_postings(parts: Sequence[ImpactRows], window_bits: int | None = None) -> Postings:
    """Inverts the rows of a space's parts, which all have the same number of rows.

    Args:
        parts: Rows per part; their dimensions follow each other in the result.
        window_bits: log2 of the window size, 6 to 16; by default :func:`window_bits_for` the rows.
    """
    row_count = len(parts[0].indptr) - 1
    if window_bits is None:
        window_bits = window_bits_for(row_count)
    dimension_count = sum(part.dimension_count for part in parts)
    begins = np.cumsum([0, *(part.dimension_count for part in parts)])
    windows = (row_count + (1 << window_bits) - 1) >> window_bits
    doc_freq = np.zeros(dimension_count, dtype=np.uint32)
    for begin, end, part in zip(begins, begins[1:], parts, strict=False):
        count_dimensions(part.dimensions, doc_freq[begin:end])
    directory = np.empty(dimension_count, dtype=np.int32)
    windowed, dense, kept = classify(
        doc_freq, windows, row_count, RARE_FACTOR, DENSE_FRACTION, directory
    )
    rare_start = posting_offsets(np.where(directory == RARE, doc_freq, 0))
    head_start = head_offsets(doc_freq)
    result = Postings(
        posting_start=posting_offsets(np.where(directory <= -2, 0, doc_freq)),
        local_ids=np.empty(kept, dtype=np.uint16),
        impacts=np.empty(kept, dtype=np.uint8),
        rare_windows=np.empty(int(rare_start[-1]), dtype=np.uint16),
        rare_start=rare_start,
        directory=directory,
        window_start=np.zeros((windowed, windows + 1), dtype=np.uint32),
        window_max=np.zeros((windowed, windows), dtype=np.uint8),
        columns=np.zeros((dense, windows << window_bits), dtype=np.uint8),
        column_max=np.zeros((dense, windows), dtype=np.uint8),
        max_impact=np.zeros(dimension_count, dtype=np.uint8),
        kth_impact=np.zeros((dimension_count, len(KTH_RANKS)), dtype=np.uint8),
        head_start=head_start,
        head_rows=np.empty(int(head_start[-1]), dtype=np.uint32),
        head_impacts=np.empty(int(head_start[-1]), dtype=np.uint8),
        window_bits=window_bits,
        row_count=row_count,
    )
    ranges = _dimension_ranges(doc_freq)
    fill = partial(_fill, parts, posting_offsets(doc_freq), result)
    with ThreadPoolExecutor(min(MOST_THREADS, usable_cpus(), len(ranges))) as pool:
        deque(pool.map(fill, ranges), maxlen=0)
    return result


def _dimension_ranges(doc_freq: NDArray[np.uint32]) -> list[tuple[int, int]]:
    """Consecutive dimensions with about as many postings each: first, and one after the last."""
    ends = np.cumsum(doc_freq, dtype=np.int64)
    share = max(SMALLEST_RANGE, -(-int(doc_freq.sum(dtype=np.int64)) // RANGES))
    cuts = np.searchsorted(ends, np.arange(share, int(ends[-1]) if len(ends) else 0, share)) + 1
    borders = np.unique(np.concatenate([[0], cuts, [len(doc_freq)]]))
    return list(pairwise(borders.tolist())) or [(0, 0)]


def _fill(
    parts: Sequence[ImpactRows],
    source_start: NDArray[np.int64],
    result: Postings,
    dimensions: tuple[int, int],
) -> None:
    """Inverts and lays out a range of dimensions."""
    first, last = dimensions
    starts = source_start[first : last + 1] - source_start[first]
    rows = np.empty(int(starts[-1]), dtype=np.uint32)
    impacts = np.empty(int(starts[-1]), dtype=np.uint8)
    begin = 0
    for part in parts:
        low, high = max(first, begin), min(last, begin + part.dimension_count)
        if low < high:
            here = starts[low - first : high - first + 1]
            invert(part.indptr, part.dimensions, part.impacts, low - begin, here, rows, impacts)
        begin += part.dimension_count
    best_impacts(
        starts,
        rows,
        impacts,
        np.array(KTH_RANKS),
        result.kth_impact[first:last],
        result.head_start[first : last + 1],
        result.head_rows,
        result.head_impacts,
    )
    lay_out(
        starts,
        rows,
        impacts,
        result.directory[first:last],
        result.window_bits,
        result.posting_start[first : last + 1],
        result.local_ids,
        result.impacts,
        result.rare_windows,
        result.rare_start[first : last + 1],
        result.window_start,
        result.window_max,
        result.columns,
        result.column_max,
        result.max_impact[first:last],
    )


def write_postings(directory: Path, space: str, postings: Postings) -> None:
    """Writes ``SPACE.postings.ARRAY.npy`` files."""
    for name in _DTYPES:
        write_array(directory / f"{space}.postings.{name}.npy", getattr(postings, name))


def read_postings(
    directory: Path, space: str, row_count: int, window_bits: int, *, memory_map: bool = True
) -> Postings:
    """Opens postings and checks every offset that a kernel will trust.

    Raises:
        IndexCorruptError: An array is missing, of a wrong shape, or its offsets lead outside.
    """

    def path(name: str) -> Path:
        return directory / f"{space}.postings.{name}.npy"

    arrays = {
        name: read_array(path(name), dtype, ndim, memory_map=memory_map)
        for name, (dtype, ndim) in _DTYPES.items()
    }
    if not 6 <= window_bits <= 16:
        raise IndexCorruptError(directory, f"windows of 2^{window_bits} rows")
    prefix = directory / f"{space}.postings"
    result = Postings(**arrays, window_bits=window_bits, row_count=row_count, path=prefix)
    vocabulary = len(result.directory)
    windows = (row_count + (1 << window_bits) - 1) >> window_bits
    windowed, dense = len(result.window_start), len(result.columns)
    shapes = {
        "posting_start": (vocabulary + 1,),
        "impacts": result.local_ids.shape,
        "rare_start": (vocabulary + 1,),
        "window_start": (windowed, windows + 1),
        "window_max": (windowed, windows),
        "columns": (dense, windows << window_bits),
        "column_max": (dense, windows),
        "max_impact": (vocabulary,),
        "kth_impact": (vocabulary, len(KTH_RANKS)),
        "head_start": (vocabulary + 1,),
        "head_impacts": result.head_rows.shape,
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise IndexCorruptError(path(name), f"shape {arrays[name].shape}, expected {shape}")
    check_offsets(path("posting_start"), result.posting_start, len(result.local_ids))
    check_offsets(path("rare_start"), result.rare_start, len(result.rare_windows))
    check_offsets(path("head_start"), result.head_start, len(result.head_rows))
    _check_directory(path, result, windowed, dense)
    return result


def _check_directory(path, postings: Postings, windowed: int, dense: int) -> None:  # type: ignore[no-untyped-def]
    form = postings.directory
    if len(form) and (form.max(initial=RARE) >= windowed or form.min(initial=RARE) < -1 - dense):
        raise IndexCorruptError(path("directory"), "a dimension points outside the directory")
    lengths = np.diff(postings.posting_start)
    rare = form == RARE
    if not np.array_equal(np.where(rare, lengths, 0), np.diff(postings.rare_start)):
        raise IndexCorruptError(path("rare_start"), "ranges differ from posting_start")
    starts = postings.window_start
    if windowed:
        owners = np.flatnonzero(form >= 0)
        if (
            np.any(starts[:, 1:] < starts[:, :-1])
            or np.any(np.diff(starts, axis=1) > 1 << postings.window_bits)
            or np.any(starts[:, 0] != 0)
            or not np.array_equal(starts[form[owners], -1], lengths[owners])
        ):
            raise IndexCorruptError(path("window_start"), "window offsets are not ascending")
