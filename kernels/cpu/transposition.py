"""From postings back to rows: what merging segments starts from.

The layout of postings is described in ``kernels.cpu.inversion``.
"""

from __future__ import annotations

from numba import njit

from kernels.cpu.layout import RARE


@njit(nogil=True, cache=True)
def decode_lists(  # type: ignore[no-untyped-def]
    posting_start,
    local_ids,
    impacts,
    rare_windows,
    rare_start,
    directory,
    window_start,
    columns,
    window_bits,
    new_rows,
    first_dimension,
    starts,
    rows,
    row_impacts,
):
    """Decodes the posting lists of consecutive dimensions, without the rows that are dropped.

    Args:
        posting_start: int64[V + 1].
        local_ids: uint16[P].
        impacts: uint8[P].
        rare_windows: uint16[R].
        rare_start: int64[V + 1].
        directory: int32[V].
        window_start: uint32[windowed, windows + 1].
        columns: uint8[dense, windows * W].
        window_bits: log2 of W.
        new_rows: int32[rows], the new number of each row, -1 if it is dropped.
        first_dimension: The first dimension.
        starts: int64[d + 1], filled with the offsets of ``d`` dimensions in ``rows``.
        rows: int32, room for all postings, filled with new rows.
        row_impacts: uint8, as long, filled.

    Returns:
        Whether all postings lie within the rows; if not, nothing is to be used.
    """
    row_count = len(new_rows)
    at = 0
    starts[0] = 0
    for number in range(len(starts) - 1):
        form = directory[first_dimension + number]
        first = posting_start[first_dimension + number]
        last = posting_start[first_dimension + number + 1]
        if form <= -2:
            for row in range(columns.shape[1]):
                impact = columns[-2 - form, row]
                if impact > 0:
                    if row >= row_count:
                        return False
                    rows[at] = new_rows[row]
                    row_impacts[at] = impact
                    at += new_rows[row] >= 0
        elif form == RARE:
            shift = rare_start[first_dimension + number] - first
            for i in range(first, last):
                row = (int(rare_windows[i + shift]) << window_bits) | int(local_ids[i])
                if row >= row_count:
                    return False
                rows[at] = new_rows[row]
                row_impacts[at] = impacts[i]
                at += new_rows[row] >= 0
        else:
            for window in range(window_start.shape[1] - 1):
                for i in range(
                    first + window_start[form, window], first + window_start[form, window + 1]
                ):
                    row = (window << window_bits) | int(local_ids[i])
                    if row >= row_count:
                        return False
                    rows[at] = new_rows[row]
                    row_impacts[at] = impacts[i]
                    at += new_rows[row] >= 0
        starts[number + 1] = at
    return True


@njit(nogil=True, cache=True)
def count_row_entries(rows, row_lengths):  # type: ignore[no-untyped-def]
    """Adds the number of occurrences of each of ``rows`` (int32) to ``row_lengths`` (int64[n])."""
    for i in range(len(rows)):
        row_lengths[rows[i]] += 1


@njit(nogil=True, cache=True)
def scatter_lists(  # type: ignore[no-untyped-def]
    starts, rows, impacts, new_dimensions, cursor, row_dimensions, row_impacts
):
    """Copies decoded posting lists into CSR rows.

    Args:
        starts: int64[d + 1] offsets of each dimension's postings.
        rows: int32[starts[d]].
        impacts: uint8, as long.
        new_dimensions: uint32[d], the number that each dimension gets.
        cursor: int64[n], where each row's next entry goes; advanced.
        row_dimensions: uint32[nnz], filled.
        row_impacts: uint8[nnz], filled.
    """
    for number in range(len(new_dimensions)):
        for i in range(starts[number], starts[number + 1]):
            at = cursor[rows[i]]
            row_dimensions[at] = new_dimensions[number]
            row_impacts[at] = impacts[i]
            cursor[rows[i]] = at + 1
