"""The arrays of one segment's postings, as the scoring kernel takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RARE = -1
"""``directory`` value of a rare dimension."""


class WindowedLayout(NamedTuple):
    """Postings in windows of rows; ``kernels.cpu.inversion`` describes the layout.

    Attributes:
        posting_start: int64[V + 1] offsets into ``local_ids`` and ``impacts``.
        local_ids: uint16[P] row numbers within their window, ascending.
        impacts: uint8[P].
        rare_windows: uint16[R] window numbers of rare postings.
        rare_start: int64[V + 1] offsets into ``rare_windows``.
        directory: int32[V]: ``RARE``, >= 0 row of ``window_start``, <= -2 dense column.
        window_start: uint32[F, windows + 1] offsets relative to ``posting_start``.
        window_max: uint8[F, windows].
        columns: uint8[C, windows << window_bits].
        column_max: uint8[C, windows].
        max_impact: uint8[V].
        kth_impact: uint8[V, r] each dimension's k-th largest impact, for the ranks of
            ``kernels.cpu.inversion.KTH_RANKS``.
        head_start: int64[V + 1] offsets into ``head_rows`` and ``head_impacts``.
        head_rows: uint32[H] rows of a frequent dimension's largest impacts.
        head_impacts: uint8[H] these impacts, descending within a dimension.
        window_bits: log2 of the window size.
        row_count: Number of rows.
    """

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
