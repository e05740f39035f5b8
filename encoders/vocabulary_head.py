"""The vocabulary head of a SPLADE-type encoder, without the batch x length x vocabulary tensor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from encoders.checkpoint import Pooling

if TYPE_CHECKING:
    import torch

CPU_BLOCK = (512, 512)
"""Tokens and vocabulary entries per matrix product on a CPU: their 1 MiB of logits stays in the
cache between the product and the maximum, where a tensor of the whole batch costs more in page
faults than in arithmetic."""

GPU_BLOCK = (65536, 2048)
"""The same on a GPU, where few large products are faster than many small ones."""


def sparse_weights(
    hidden: torch.Tensor,
    lengths: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    pooling: Pooling,
    excluded: Sequence[int] = (),
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The positive document weights of a batch, on its device.

    On a GPU where Triton can build its kernel, maxima are computed without storing a logit;
    where it cannot, a warning says so once.

    Args:
        hidden: See ``pooled_weights``, as for the next four.
        lengths: int64[B].
        weight: float32[V, d].
        bias: float32[V].
        pooling: Pooling and activation.
        excluded: Entries that get no weight.

    Returns:
        int64[B] weights per text, their entries, ascending within a text, and float32 values;
        NaN and infinite ones are among them.
    """
    import torch

    fused = hidden.is_cuda and pooling.strategy == "max" and _triton_runs(hidden.device)
    # The kernel's maximum passes NaN over, torch's keeps it.
    if fused and bool(torch.isfinite(hidden).all()):
        return fused_weights(hidden, lengths, weight, bias, pooling, excluded)
    pooled = pooled_weights(hidden, lengths, weight, bias, pooling)
    pooled[:, list(excluded)] = 0
    rows, entries = pooled.nonzero(as_tuple=True)
    return torch.bincount(rows, minlength=len(hidden)), entries, pooled[rows, entries]


def fused_weights(
    hidden: torch.Tensor,
    lengths: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    pooling: Pooling,
    excluded: Sequence[int] = (),
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``sparse_weights`` by the Triton kernel, for ``max`` pooling."""
    import torch

    from kernels.gpu.splade_head import splade_head_rows, unpadded

    inside = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
    tokens, cu_seqlens = unpadded(hidden, inside)
    indptr, entries, values = splade_head_rows(
        tokens,
        cu_seqlens,
        weight,
        bias,
        double_log=pooling.activation == "log1p_relu",
        excluded=torch.tensor(excluded, dtype=torch.int64, device=hidden.device),
        max_length=hidden.shape[1],
    )
    return indptr.diff(), entries, values


def pooled_weights(
    hidden: torch.Tensor,
    lengths: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    pooling: Pooling,
) -> torch.Tensor:
    """Document weights of a batch.

    With logits z = hidden weight^T + bias, for ``max`` pooling ``f(max_i z_i)`` over the tokens i
    of a text, and for ``sum`` pooling ``sum_i f(z_i)``, where f(x) is ``log1p(relu(x))`` or
    ``log1p(log1p(relu(x)))``. f is monotone, so the maximum commutes with it and f is computed
    once per text and entry. Cost: 2 T d V operations for T tokens; memory: the result and one
    block of logits.

    Args:
        hidden: float32[B, L, d].
        lengths: int64[B] on the same device, tokens of each text, from 1 to L.
        weight: float32[V, d].
        bias: float32[V].
        pooling: Pooling and activation.

    Returns:
        float32[B, V], >= 0.
    """
    import torch

    batch, length, _ = hidden.shape
    vocabulary = len(weight)
    padding = torch.arange(length, device=hidden.device)[None] >= lengths[:, None]
    # A padded position repeats the text's first token: no maximum changes.
    hidden = torch.where(padding[:, :, None], hidden[:, :1], hidden)
    pooled = torch.empty(batch, vocabulary, device=hidden.device)
    block_tokens, block_columns = CPU_BLOCK if hidden.device.type == "cpu" else GPU_BLOCK
    rows_at_once = max(1, block_tokens // length)
    for start in range(0, vocabulary, block_columns):
        columns = slice(start, min(start + block_columns, vocabulary))
        for first in range(0, batch, rows_at_once):
            rows = slice(first, first + rows_at_once)
            logits = hidden[rows] @ weight[columns].T
            if pooling.strategy == "max":
                block = _activate(logits.amax(dim=1) + bias[columns], pooling)
            else:
                block = _activate(logits.add_(bias[columns]), pooling)
                block = block.masked_fill_(padding[rows, :, None], 0).sum(dim=1)
            pooled[rows, columns] = block
    return pooled


def _activate(logits: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    weights = logits.relu_().log1p_()
    return weights.log1p_() if pooling.activation == "log1p_relu" else weights


@cache
def _triton_runs(device: torch.device) -> bool:
    """Whether Triton computes the kernel on this device: tried once, on a tiny head.

    Nothing short of that tells: it takes a C compiler, the headers of Python and CUDA, and a cache
    folder from which programs may run.
    """
    if find_spec("triton") is None:
        return False
    import torch

    states, lengths = torch.ones(1, 2, 16, device=device), torch.tensor([2], device=device)
    weight, bias = torch.ones(3, 16, device=device), torch.zeros(3, device=device)
    try:
        fused_weights(states, lengths, weight, bias, Pooling())
    except Exception as error:  # Those of Triton, compilers and drivers have no common class.
        warnings.warn(
            f"Triton cannot build the vocabulary head on {device}, so that torch computes it, more "
            f"slowly and in more memory: {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True
