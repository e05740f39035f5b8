"""Dense rows on the device to pruned sparse rows on the device, in ascending order."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_BLOCK = 1024


@triton.jit
def count_kernel(dense, thresholds, counts, width, block_width: tl.constexpr):
    """Entries of a block of a row that are above the row's threshold."""
    row, block = tl.program_id(0), tl.program_id(1)
    columns = block * block_width + tl.arange(0, block_width)
    values = tl.load(dense + row.to(tl.int64) * width + columns, mask=columns < width, other=0.0)
    keep = (values > tl.load(thresholds + row)) & (columns < width)
    tl.store(counts + row * tl.num_programs(1) + block, tl.sum(keep.to(tl.int32), axis=0))


@triton.jit
def fill_kernel(dense, thresholds, offsets, dimensions, weights, width, block_width: tl.constexpr):
    """Writes the entries that ``count_kernel`` counted, from the block's offset on."""
    row, block = tl.program_id(0), tl.program_id(1)
    columns = block * block_width + tl.arange(0, block_width)
    values = tl.load(dense + row.to(tl.int64) * width + columns, mask=columns < width, other=0.0)
    keep = (values > tl.load(thresholds + row)) & (columns < width)
    offset = tl.load(offsets + row * tl.num_programs(1) + block)
    places = offset + tl.cumsum(keep.to(tl.int32), axis=0) - 1
    tl.store(dimensions + places, columns, mask=keep)
    tl.store(weights + places, values, mask=keep)


def sparse_rows(
    dense: torch.Tensor, *, threshold: float = 0.0, max_ratio: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Entries above ``threshold`` and above ``max_ratio`` times the row's largest.

    Two passes over ``dense``, count and fill, so that places and order never depend on which
    program runs first. Equals ``reference.sparse_rows``. Waits for the device once, to learn the
    number of entries.

    Args:
        dense: float32[B, V], contiguous, no entry negative or NaN.
        threshold: From 0.
        max_ratio: From 0 to below 1.

    Returns:
        int64[B + 1] row bounds, int32[n] columns, ascending within a row, float32[n] weights.
    """
    rows, width = dense.shape
    indptr = torch.zeros(rows + 1, dtype=torch.int64, device=dense.device)
    if dense.numel() == 0:
        return indptr, torch.empty_like(indptr[:0], dtype=torch.int32), dense.new_empty(0)
    thresholds = (dense.amax(dim=1) * max_ratio).clamp_(min=threshold)
    blocks = triton.cdiv(width, _BLOCK)
    counts = torch.empty(rows, blocks, dtype=torch.int32, device=dense.device)
    with torch.cuda.device_of(dense):
        count_kernel[(rows, blocks)](dense, thresholds, counts, width, block_width=_BLOCK)
        ends = counts.flatten().cumsum(0)
        indptr[1:] = ends[blocks - 1 :: blocks]
        total = int(ends[-1])
        dimensions = torch.empty(total, dtype=torch.int32, device=dense.device)
        weights = dense.new_empty(total)
        fill_kernel[(rows, blocks)](
            dense,
            thresholds,
            ends - counts.flatten(),
            dimensions,
            weights,
            width,
            block_width=_BLOCK,
        )
    return indptr, dimensions, weights
