"""Chooses an order of a segment's rows in which similar rows are neighbours.

Neighbours share dimensions: the postings of a dimension gather in few windows, whose maxima
differ, so that a search passes over more of them. Results stay the same, because ties go by
arrival, which a reordered segment stores.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.format.postings import ImpactRows
from kernels.cpu.bisection import (
    bisect_rows,
    gather_rows,
    strongest_dimensions,
    total_log2_gap,
)
from kernels.cpu.inversion import count_dimensions

ROW_DIMENSIONS = 48
"""Dimensions of a row that decide its place, those of the largest impacts."""

FEWEST_ROWS = 8
LARGEST_SHARE = 1 / 5
"""A dimension tells rows apart if it has at least so many rows, and at most this share of all."""

LEAF_ROWS = 16
ROUNDS = 20

BYTES_PER_ROW = 4 * ROW_DIMENSIONS + 64
"""Memory that bisection takes for a row."""


@dataclass(frozen=True)
class RowOrder:
    """An order of rows and what it brings.

    Attributes:
        row_arrival: uint32[rows], position of arrival of each row.
        log2_gap_before: Mean log2 of the gaps between a dimension's postings in order of arrival,
            over the dimensions that took part.
        log2_gap_after: The same in the new order.
        seconds: Time it took.
    """

    row_arrival: NDArray[np.uint32]
    log2_gap_before: float
    log2_gap_after: float
    seconds: float


def bisected_order(parts: Sequence[ImpactRows], memory_bytes: int) -> RowOrder:
    """Orders the rows of a space by recursive graph bisection, starting from order of arrival.

    Where memory does not suffice for all rows at once, pieces of the collection are ordered one
    after the other, each within itself.

    Args:
        parts: Rows per part of the space, in order of arrival.
        memory_bytes: Memory that the work may take besides the rows.
    """
    started = time.perf_counter()
    count = len(parts[0].indptr) - 1
    order = np.arange(count, dtype=np.uint32)
    pieces = max(1, -(-count * BYTES_PER_ROW // memory_bytes))
    bounds = np.linspace(0, count, pieces + 1).astype(np.int64)
    numbers, dimension_count = _telling_dimensions(parts, count)
    postings = 0
    before = after = 0.0
    for first, last in zip(bounds.tolist(), bounds[1:].tolist(), strict=False):
        starts, dimensions = _strongest(parts, numbers, first, last)
        piece = np.arange(last - first, dtype=np.uint32)
        before += total_log2_gap(starts, dimensions, dimension_count, piece)
        bisect_rows(starts, dimensions, dimension_count, piece, LEAF_ROWS, ROUNDS)
        after += total_log2_gap(starts, dimensions, dimension_count, piece)
        order[first:last] = piece + np.uint32(first)
        postings += len(dimensions)
    scale = 1 / max(1, postings)
    return RowOrder(order, before * scale, after * scale, time.perf_counter() - started)


def reordered(rows: ImpactRows, row_arrival: NDArray[np.uint32]) -> ImpactRows:
    """A copy of rows in another order.

    Args:
        rows: Rows in order of arrival.
        row_arrival: uint32[rows], position of arrival of each row.
    """
    result = ImpactRows(
        np.empty_like(rows.indptr),
        np.empty_like(rows.dimensions),
        np.empty_like(rows.impacts),
        rows.dimension_count,
    )
    gather_rows(
        rows.indptr,
        rows.dimensions,
        rows.impacts,
        row_arrival,
        result.indptr,
        result.dimensions,
        result.impacts,
    )
    return result


def inverse(order: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The permutation that undoes another."""
    result = np.empty_like(order)
    result[order] = np.arange(len(order), dtype=np.uint32)
    return result


def _telling_dimensions(
    parts: Sequence[ImpactRows], row_count: int
) -> tuple[list[NDArray[np.int32]], int]:
    """Per part int32[V], a number for each dimension that tells rows apart and -1 for the others.

    Also how many such dimensions there are in all.
    """
    numbers = []
    total = 0
    for part in parts:
        doc_freq = np.zeros(part.dimension_count, dtype=np.uint32)
        count_dimensions(part.dimensions, doc_freq)
        telling = (doc_freq >= FEWEST_ROWS) & (doc_freq <= LARGEST_SHARE * row_count)
        number = np.full(part.dimension_count, -1, dtype=np.int32)
        found = int(np.count_nonzero(telling))
        number[telling] = np.arange(total, total + found, dtype=np.int32)
        numbers.append(number)
        total += found
    return numbers, total


def _strongest(
    parts: Sequence[ImpactRows], numbers: Sequence[NDArray[np.int32]], first: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """CSR of the dimensions that decide the places of the rows ``first`` to ``last``."""
    limit = max(1, ROW_DIMENSIONS // len(parts))
    none = np.zeros(0, dtype=np.uint32)
    per_part = []
    for part, number in zip(parts, numbers, strict=True):
        indptr = part.indptr[first : last + 1]
        starts = np.zeros(last - first + 1, dtype=np.int64)
        strongest_dimensions(indptr, part.dimensions, part.impacts, number, limit, starts, none)
        chosen = np.empty(starts[-1], dtype=np.uint32)
        strongest_dimensions(indptr, part.dimensions, part.impacts, number, limit, starts, chosen)
        per_part.append((starts, chosen))
    if len(per_part) == 1:
        return per_part[0]
    starts = sum((part_starts for part_starts, _ in per_part), np.zeros_like(per_part[0][0]))
    dimensions = np.empty(starts[-1], dtype=np.uint32)
    begins = starts[:-1].copy()
    for part_starts, chosen in per_part:
        lengths = np.diff(part_starts)
        places = np.repeat(begins - part_starts[:-1], lengths)
        places += np.arange(len(chosen))
        dimensions[places] = chosen
        begins += lengths
    return starts, dimensions
