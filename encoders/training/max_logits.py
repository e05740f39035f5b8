"""The maximum over a text's tokens of the vocabulary logits, with a gradient that is sparse."""

from __future__ import annotations

from typing import Any

import torch

_BLOCK_TOKENS = {False: 1 << 10, True: 1 << 15}
"""Whose logits exist at a time, by whether they are on a GPU."""


class MaxLogits(torch.autograd.Function):  # type: ignore[misc]
    """``max_i states[b, i] . weight[c]`` for every text b and column c.

    Behind it stands a relu, and the loss touches few columns of a text: nearly all entries of the
    gradient are 0. The backward pass visits the others only, each at the one token that gave the
    maximum, the first of equal ones; it costs as much as there are active entries, where that of
    the matrix product costs twice the forward pass.
    """

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """float32[B, C] from float32[B, L, d] and float32[C, d]."""
        batch, length, _ = states.shape
        rows = max(1, _BLOCK_TOKENS[states.is_cuda] // length)
        values = states.new_empty(batch, len(weight))
        tokens = torch.empty(batch, len(weight), dtype=torch.int64, device=states.device)
        for start in range(0, batch, rows):
            block = slice(start, start + rows)
            values[block], tokens[block] = torch.max(states[block] @ weight.T, dim=1)
        ctx.save_for_backward(states, weight, tokens)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of states and weight."""
        states, weight, tokens = ctx.saved_tensors
        texts, columns = gradient.nonzero(as_tuple=True)
        values = gradient[texts, columns][:, None]
        places = texts * states.shape[1] + tokens[texts, columns]
        flat = states.reshape(-1, states.shape[-1])
        by_state = torch.zeros_like(flat).index_add_(0, places, values * weight[columns])
        by_weight = torch.zeros_like(weight).index_add_(0, columns, values * flat[places])
        return by_state.view_as(states), by_weight
