"""The slow truth of the GPU kernels: plain torch, any floating type, differentiable."""

from __future__ import annotations

import torch


def splade_head(
    hidden: torch.Tensor,
    cu_seqlens: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    *,
    double_log: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Document weights, and the token that each came from; holds all logits of a sequence.

    Args:
        hidden: [T, d] states of the sequences' tokens, one sequence behind the other.
        cu_seqlens: integer[B + 1], first token of each sequence, then T.
        weight: [V, d].
        bias: [V].
        double_log: Whether ``log1p`` is applied twice.

    Returns:
        Weights [B, V] in the type of the logits, and int64[B, V] rows of ``hidden``: the first
        of the tokens with the largest logit, or -1 where no logit is positive.
    """
    pooled, winners = [], []
    nothing = torch.full(bias.shape, -1, device=bias.device)
    for start, end in zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True):
        if start == end:
            pooled.append(torch.zeros_like(bias))
            winners.append(nothing)
            continue
        logits = hidden[start:end] @ weight.T + bias
        positions = torch.arange(end - start, device=hidden.device)[:, None]
        largest = logits == logits.amax(dim=0)
        first = torch.where(largest, positions, end - start).amin(dim=0)
        values = logits.gather(0, first[None])[0].relu()
        pooled.append(values.log1p().log1p() if double_log else values.log1p())
        winners.append(torch.where(values > 0, start + first, nothing))
    if not pooled:
        empty = torch.zeros(0, len(weight), device=hidden.device)
        return empty.to(bias.dtype), empty.long()
    return torch.stack(pooled), torch.stack(winners)


def sparse_rows(
    pooled: torch.Tensor, *, threshold: float = 0.0, max_ratio: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights of [B, V] above ``threshold`` and above ``max_ratio`` times the row's largest.

    Returns:
        int64[B + 1] row cu_seqlens, int32[n] columns, ascending within a row, and [n] weights.
    """
    keep = pooled > threshold
    if pooled.numel():
        keep &= pooled > max_ratio * pooled.amax(dim=1, keepdim=True)
    rows, columns = keep.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(pooled))
    indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return indptr, columns.int(), pooled[rows, columns]
