"""Scores of given rows in double precision, by looking their impacts up."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.cpu.layout import WindowedLayout


def score_rows(
    layout: WindowedLayout,
    dimensions: NDArray[np.int64],
    weights: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """float64[n] sums of weight times impact, added in the order of the dimensions.

    Args:
        layout: One segment's postings.
        dimensions: int64[q] dimensions; a negative one is in no row.
        weights: float64[q].
        rows: int64[n] rows of the segment.
    """
    scores = np.zeros(len(rows), dtype=np.float64)
    if len(rows):
        _add_scores(tuple(layout), dimensions, weights, rows, scores)
    return scores


@njit(nogil=True, cache=True)
def _add_scores(arrays, dimensions, weights, rows, scores):  # type: ignore[no-untyped-def]
    layout = WindowedLayout(*arrays)
    local_ids = layout.local_ids
    impacts = layout.impacts
    rare_windows = layout.rare_windows
    window_mask = (1 << layout.window_bits) - 1
    for t in range(len(dimensions)):
        dimension = dimensions[t]
        if dimension < 0:
            continue
        form = layout.directory[dimension]
        if form <= -2:
            column = layout.columns[-2 - form]
            for i in range(len(rows)):
                scores[i] += weights[t] * np.float64(column[rows[i]])
            continue
        start = layout.posting_start[dimension]
        for i in range(len(rows)):
            window = rows[i] >> layout.window_bits
            local = rows[i] & window_mask
            if form >= 0:
                low = start + layout.window_start[form, window]
                high = start + layout.window_start[form, window + 1]
                end = high
                while low < high:
                    middle = (low + high) >> 1
                    if local_ids[middle] < local:
                        low = middle + 1
                    else:
                        high = middle
                found = low < end and local_ids[low] == local
            else:
                shift = layout.rare_start[dimension] - start
                low = start
                high = layout.posting_start[dimension + 1]
                end = high
                while low < high:
                    middle = (low + high) >> 1
                    place = rare_windows[middle + shift]
                    if place < window or (place == window and local_ids[middle] < local):
                        low = middle + 1
                    else:
                        high = middle
                found = (
                    low < end and rare_windows[low + shift] == window and local_ids[low] == local
                )
            if found:
                scores[i] += weights[t] * np.float64(impacts[low])
