"""Gradients of the vocabulary head, read off the winning tokens, in an order that is fixed.

No logit is computed again: an entry's weight depends on one token. Each program owns the rows
of the gradient that it writes, so nothing is added atomically and the same input gives the same
bits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_BLOCK_DIMENSION = 128
_BLOCK_ENTRIES = 32


@triton.jit
def splade_weight_gradient_kernel(
    hidden,
    winners,
    logit_gradient,
    weight_gradient,
    bias_gradient,
    sequences,
    vocabulary,
    dimension: tl.constexpr,
    block_entries: tl.constexpr,
    block_dimension: tl.constexpr,
):
    """``dE_v = sum_b g_bv H[winner_bv]`` and ``db_v = sum_b g_bv``; b ascends."""
    entries = tl.program_id(0) * block_entries + tl.arange(0, block_entries)
    columns = tl.program_id(1) * block_dimension + tl.arange(0, block_dimension)
    exists = entries < vocabulary
    total = tl.zeros([block_entries, block_dimension], dtype=tl.float32)
    bias_total = tl.zeros([block_entries], dtype=tl.float32)
    cells = entries.to(tl.int64)
    for _ in tl.range(0, sequences):
        winner = tl.load(winners + cells, mask=exists, other=-1)
        gradient = tl.load(logit_gradient + cells, mask=exists, other=0.0)
        states = tl.load(
            hidden + winner.to(tl.int64)[:, None] * dimension + columns[None, :],
            mask=(winner >= 0)[:, None] & (columns < dimension)[None, :],
            other=0.0,
        )
        total += gradient[:, None] * states.to(tl.float32)
        bias_total += gradient
        cells += vocabulary
    output = entries.to(tl.int64)[:, None] * dimension + columns[None, :]
    tl.store(weight_gradient + output, total, mask=exists[:, None] & (columns < dimension)[None, :])
    if tl.program_id(1) == 0:
        tl.store(bias_gradient + entries, bias_total, mask=exists)


@triton.jit
def splade_hidden_gradient_kernel(
    weight,
    logit_gradient,
    cells,
    token_bounds,
    hidden_gradient,
    vocabulary,
    dimension: tl.constexpr,
    block_entries: tl.constexpr,
    block_dimension: tl.constexpr,
):
    """``dH_t = sum_v g_bv E_v`` over the entries v that token t won; v ascends."""
    token = tl.program_id(0)
    columns = tl.program_id(1) * block_dimension + tl.arange(0, block_dimension)
    start = tl.load(token_bounds + token)
    end = tl.load(token_bounds + token + 1)
    total = tl.zeros([block_dimension], dtype=tl.float32)
    for first in tl.range(start, end, block_entries):
        places = first + tl.arange(0, block_entries)
        cell = tl.load(cells + places, mask=places < end, other=0)
        gradient = tl.load(logit_gradient + cell, mask=places < end, other=0.0)
        rows = tl.load(
            weight + (cell % vocabulary)[:, None] * dimension + columns[None, :],
            mask=(places < end)[:, None] & (columns < dimension)[None, :],
            other=0.0,
        )
        total += tl.sum(gradient[:, None] * rows.to(tl.float32), axis=0)
    output = token.to(tl.int64) * dimension + columns
    tl.store(hidden_gradient + output, total, mask=columns < dimension)


def logit_gradient(
    pooled: torch.Tensor, gradient: torch.Tensor, *, double_log: bool
) -> torch.Tensor:
    """float32[B, V] gradient of the winning logits from that of the weights.

    With z the logit, y = log1p(z) has dy/dz = exp(-y), and y = log1p(log1p(z)) has
    dy/dz = exp(-y) exp(-(e^y - 1)); 0 where y is 0.
    """
    exponent = -pooled - torch.expm1(pooled) if double_log else -pooled
    return exponent.exp_().mul_(gradient).masked_fill_(pooled <= 0, 0.0)


def weight_gradient(
    hidden: torch.Tensor, weight: torch.Tensor, winners: torch.Tensor, gradient: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of [V, d] ``weight``, in its type, and of the float32[V] bias.

    Cost: 2 d operations and d elements of ``hidden`` read, mostly from the L2 cache, for each
    positive weight.

    Args:
        hidden: [T, d], contiguous.
        weight: [V, d], contiguous.
        winners: int32[B, V], see ``splade_forward.forward``.
        gradient: float32[B, V] of ``logit_gradient``.
    """
    sequences, (vocabulary, dimension) = len(winners), weight.shape
    result = torch.empty_like(weight)
    bias = torch.empty(vocabulary, device=weight.device)
    grid = (triton.cdiv(vocabulary, _BLOCK_ENTRIES), triton.cdiv(dimension, _BLOCK_DIMENSION))
    with torch.cuda.device_of(hidden):
        splade_weight_gradient_kernel[grid](
            hidden,
            winners,
            gradient,
            result,
            bias,
            sequences,
            vocabulary,
            dimension=dimension,
            block_entries=_BLOCK_ENTRIES,
            block_dimension=_BLOCK_DIMENSION,
        )
    return result, bias


def hidden_gradient(
    hidden: torch.Tensor, weight: torch.Tensor, winners: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    """Gradient of [T, d] ``hidden``, in its type; arguments as in ``weight_gradient``.

    The cells of ``winners`` are sorted by token, stably, so that each token finds the entries
    that it won side by side.
    """
    tokens, dimension = hidden.shape
    result = torch.empty_like(hidden)
    if tokens == 0:
        return result
    winner = winners.flatten()
    # Cells without a winner go behind the last token.
    by_token, cells = torch.sort(torch.where(winner < 0, tokens, winner), stable=True)
    numbers = torch.arange(tokens + 1, dtype=by_token.dtype, device=hidden.device)
    with torch.cuda.device_of(hidden):
        splade_hidden_gradient_kernel[(tokens, triton.cdiv(dimension, _BLOCK_DIMENSION))](
            weight,
            gradient,
            cells,
            torch.searchsorted(by_token, numbers),
            result,
            winners.shape[1],
            dimension=dimension,
            block_entries=_BLOCK_ENTRIES,
            block_dimension=_BLOCK_DIMENSION,
        )
    return result
