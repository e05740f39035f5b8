"""The vocabulary head of SPLADE-type encoders on a GPU: training and encoding.

Weights are ``y_bv = f(max_t (H_t E_v + b_v))`` over the tokens t of sequence b, where f(x) is
``log1p(relu(x))`` or, with ``double_log``, ``log1p(log1p(relu(x)))``. f is monotone, so it is
applied once per sequence and entry, behind the maximum, and no logit leaves the registers
(the reordering of Sparton, arXiv 2603.25011). Tokens come without padding, as [T, d], with the
cumulated lengths of the sequences; ``unpadded`` makes that of a padded batch.
"""

from __future__ import annotations

from typing import Any

import torch

from kernels.gpu.sparse_rows import sparse_rows
from kernels.gpu.splade_backward import hidden_gradient, logit_gradient, weight_gradient
from kernels.gpu.splade_forward import Tile, forward

_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def unpadded(hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens of a padded batch, and the cumulated lengths of its sequences.

    Args:
        hidden: [B, L, d].
        mask: [B, L], 0 for what is left out, wherever it stands.

    Returns:
        [T, d] states, through which gradients pass, and int32[B + 1] cu_seqlens.
    """
    mask = mask.bool()
    cu_seqlens = torch.zeros(len(mask) + 1, dtype=torch.int32, device=hidden.device)
    cu_seqlens[1:] = mask.sum(dim=1).cumsum(0)
    return hidden[mask], cu_seqlens


def splade_head(
    hidden: torch.Tensor,
    cu_seqlens: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    double_log: bool = False,
    max_length: int | None = None,
    tile: Tile | None = None,
) -> torch.Tensor:
    """Document weights, differentiable in ``hidden``, ``weight`` and ``bias``.

    Of tokens with equal logits the first one gets the gradient. Forward and backward give the
    same bits each time. Memory beside the result: 4 bytes per sequence and entry for the
    backward pass, and 16 during it.

    Args:
        hidden: [T, d], float32, bfloat16 or float16; sums are in float32.
        cu_seqlens: int32[B + 1], ascending from 0 to T; a sequence may be empty and has weights 0.
        weight: [V, d]; another type is cast to that of ``hidden``.
        bias: [V], or none.
        double_log: Whether ``log1p`` is applied twice.
        max_length: Tokens of the longest sequence, if known: short ones are then faster.
        tile: Shape of the matrix products; by default one that fits type and length.

    Returns:
        float32[B, V], >= 0.

    Raises:
        ValueError: Shapes do not fit each other.
        TypeError: ``hidden`` has another type.

    >>> tokens, cu_seqlens = unpadded(states, attention_mask)  # doctest: +SKIP
    >>> splade_head(tokens, cu_seqlens, decoder.weight, decoder.bias)  # doctest: +SKIP
    """
    arguments = _checked(hidden, cu_seqlens, weight, bias)
    if torch.is_grad_enabled() and any(a.requires_grad for a in arguments):
        return _SpladeHead.apply(*arguments, double_log, _length(hidden, max_length), tile)
    pooled, _ = forward(
        *arguments,
        double_log=double_log,
        keep_winners=False,
        max_length=_length(hidden, max_length),
        tile=tile,
    )
    return pooled


def splade_head_rows(
    hidden: torch.Tensor,
    cu_seqlens: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    double_log: bool = False,
    threshold: float = 0.0,
    max_ratio: float = 0.0,
    excluded: torch.Tensor | None = None,
    max_length: int | None = None,
    tile: Tile | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Document weights as pruned sparse rows on the device, for encoding; no gradients.

    Args:
        hidden: See ``splade_head``, as for the next four.
        cu_seqlens: int32[B + 1].
        weight: [V, d].
        bias: [V], or none.
        double_log: Whether ``log1p`` is applied twice.
        threshold: Only weights above it are kept.
        max_ratio: Only weights above this share of the row's largest are kept.
        excluded: int64 numbers of entries that get no weight, such as special tokens.
        max_length: Tokens of the longest sequence, if known.
        tile: Shape of the matrix products.

    Returns:
        int64[B + 1] row cu_seqlens, int32[n] entries, ascending within a row, float32[n] weights.
    """
    with torch.no_grad():
        pooled = splade_head(
            hidden,
            cu_seqlens,
            weight,
            bias,
            double_log=double_log,
            max_length=max_length,
            tile=tile,
        )
        if excluded is not None:
            pooled.index_fill_(1, excluded, 0.0)
        return sparse_rows(pooled, threshold=threshold, max_ratio=max_ratio)


class _SpladeHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        cu_seqlens: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        double_log: bool,
        max_length: int,
        tile: Tile | None,
    ) -> torch.Tensor:
        pooled, winners = forward(
            hidden,
            cu_seqlens,
            weight,
            bias,
            double_log=double_log,
            keep_winners=True,
            max_length=max_length,
            tile=tile,
        )
        ctx.save_for_backward(hidden, weight, pooled, winners)
        ctx.double_log = double_log
        return pooled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, pooled, winners = ctx.saved_tensors
        of_logits = logit_gradient(pooled, gradient, double_log=ctx.double_log)
        of_hidden = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_hidden = hidden_gradient(hidden, weight, winners, of_logits)
        if ctx.needs_input_grad[2]:
            of_weight, of_bias = weight_gradient(hidden, weight, winners, of_logits)
        elif ctx.needs_input_grad[3]:
            of_bias = of_logits.sum(dim=0)
        return of_hidden, None, of_weight, of_bias, None, None, None


def _checked(
    hidden: torch.Tensor, cu_seqlens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    if hidden.dtype not in _TYPES:
        raise TypeError(
            f"hidden must be float32, bfloat16 or float16, got {hidden.dtype}; cast it first."
        )
    if bias is None:
        bias = torch.zeros(len(weight), device=weight.device)
    if hidden.ndim != 2 or weight.shape[1:] != hidden.shape[1:] or bias.shape != weight.shape[:1]:
        raise ValueError(
            "hidden must be [T, d], weight [V, d] and bias [V], got "
            f"{list(hidden.shape)}, {list(weight.shape)} and {list(bias.shape)}."
        )
    if cu_seqlens.ndim != 1 or len(cu_seqlens) == 0:
        raise ValueError(f"cu_seqlens must be [B + 1], got {list(cu_seqlens.shape)}.")
    return (
        hidden.contiguous(),
        cu_seqlens.to(hidden.device, torch.int32).contiguous(),
        weight.to(hidden.dtype).contiguous(),
        bias.float().contiguous(),
    )


def _length(hidden: torch.Tensor, max_length: int | None) -> int:
    return len(hidden) if max_length is None else max_length
