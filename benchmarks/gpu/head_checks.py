"""Errors of the fused head against float64, for the benchmark of the head."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch

from kernels.gpu import reference
from kernels.gpu.splade_forward import forward
from kernels.gpu.splade_head import splade_head, splade_head_rows


def check_all(
    interpreted: bool, quick: bool, bars: Mapping[str, float], gradient_bars: Mapping[str, float]
) -> list[dict[str, Any]]:
    """A row per type, number of logarithms and shape; ``passed`` says whether the bars hold."""
    device = "cpu" if interpreted else "cuda"
    if interpreted:  # bfloat16 is left out: the interpreter multiplies its bits as integers.
        types = [torch.float32, torch.float16]
        shapes = [([5, 0, 18], 50, 20), ([16], 64, 32)]
    else:
        types = [torch.float32, torch.bfloat16, torch.float16]
        lengths = torch.randint(1, 257, (8,), generator=torch.Generator().manual_seed(1)).tolist()
        shapes = [([256] * 4, 4096, 768), ([0, *lengths, 0], 3001, 768), ([512, 7, 1], 1000, 100)]
        shapes += [([20, 31, 9], 2000, 384), ([60, 33], 2000, 130)]
        shapes = shapes[:2] if quick else shapes
    rows = []
    for (lengths, vocabulary, dimension), dtype, double_log in itertools.product(
        shapes, types, (False, True)
    ):
        name = str(dtype).removeprefix("torch.")
        row = check(lengths, vocabulary, dimension, dtype, double_log, device)
        # Not "above the bar": NaN must fail.
        row["passed"] = (
            row["weights"] <= bars[name]
            and row["gradients"] <= gradient_bars[name]
            and row["same_bits"]
            and row["sparse_rows"]
        )
        longest = max(lengths)
        shape = f"B={len(lengths)} S<={longest} d={dimension} V={vocabulary}"
        logarithms = "two logs" if double_log else "one log"
        rows.append({"type": name, "case": f"{shape}, {logarithms}", **row})
    return rows


def check(
    lengths: list[int],
    vocabulary: int,
    dimension: int,
    dtype: torch.dtype,
    double_log: bool,
    device: str,
) -> dict[str, Any]:
    """Errors of one case.

    The error of a weight is relative to the largest weight of its document: a small weight is a
    difference of large numbers, in which float32 itself has few digits left. ``torch_weights`` is
    the error of torch in the type of the inputs. The error of a gradient is relative in the
    Euclidean norm, for the same winning tokens: which of two tokens wins that differ in the last
    bit is no error, and the weights tell a wrong winner.
    """
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    hidden = normal(sum(lengths), dimension).to(dtype).requires_grad_()
    weight = (normal(vocabulary, dimension) / dimension**0.5).to(dtype).requires_grad_()
    bias = (normal(vocabulary) - 2).requires_grad_()
    cu_seqlens = torch.tensor([0, *lengths], device=device).cumsum(0).int()
    exact = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight, bias)]
    with torch.no_grad():
        expected, _ = reference.splade_head(exact[0], cu_seqlens, *exact[1:], double_log=double_log)
        plain, _ = reference.splade_head(hidden, cu_seqlens, weight, bias.to(dtype))
        plain = plain.log1p() if double_log else plain
        _, winners = forward(
            *(hidden, cu_seqlens, weight, bias),
            double_log=double_log,
            keep_winners=True,
            max_length=max(lengths),
        )
    assert winners is not None
    gradient = normal(len(lengths), vocabulary)
    results = []
    for _ in range(2):
        pooled = splade_head(
            hidden, cu_seqlens, weight, bias, double_log=double_log, max_length=max(lengths)
        )
        found = torch.autograd.grad(pooled, (hidden, weight, bias), gradient)
        results.append((pooled.detach(), *found))
    winning = winners.long().clamp(min=0)
    logits = torch.stack([(exact[0][rows] * exact[1]).sum(dim=1) for rows in winning]) + exact[2]
    values = torch.where(winners >= 0, logits, 0.0).relu().log1p()
    values = values.log1p() if double_log else values
    precise = torch.autograd.grad(values, exact, gradient.double())
    pooled, *gradients = results[0]
    scale = expected.amax(dim=1, keepdim=True).clamp(min=1e-30)

    def error(weights: torch.Tensor) -> float:
        return float(((weights.detach().double() - expected).abs() / scale).max())

    kept = splade_head_rows(
        *(hidden, cu_seqlens, weight, bias),
        double_log=double_log,
        max_ratio=0.1,
        max_length=max(lengths),
    )
    wanted = reference.sparse_rows(pooled, max_ratio=0.1)
    return {
        "weights": max(error(pooled), error(values)),
        "torch_weights": error(plain),
        "gradients": max(
            float((ours.double() - theirs).norm() / theirs.norm())
            for ours, theirs in zip(gradients, precise, strict=True)
        ),
        "same_bits": all(torch.equal(*pair) for pair in zip(*results, strict=True)),
        "sparse_rows": all(torch.equal(*pair) for pair in zip(kept, wanted, strict=True)),
    }
