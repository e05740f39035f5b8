"""Time and memory of the ways to compute the head, for the benchmark of the head."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional
from triton.testing import do_bench

from kernels.gpu.splade_forward import TILES, forward
from kernels.gpu.splade_head import splade_head, splade_head_rows, unpadded

BATCH, LENGTH, DIMENSION = 32, 256, 768
VOCABULARIES = (30522, 105879)
TYPES = (torch.bfloat16, torch.float16, torch.float32)
MIB = 1 << 20


@dataclass(frozen=True)
class Batch:
    """Inputs in both forms, padded and without padding, with a gradient of the result."""

    padded: torch.Tensor
    mask: torch.Tensor
    tokens: torch.Tensor
    cu_seqlens: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    gradient: torch.Tensor


def make_batch(vocabulary: int, dtype: torch.dtype, lengths: torch.Tensor) -> Batch:
    """Random states and weights; about 1 % of a document's weights are positive."""
    torch.manual_seed(0)
    padded = torch.randn(len(lengths), int(lengths.max()), DIMENSION, device="cuda").to(dtype)
    mask = torch.arange(padded.shape[1], device="cuda")[None] < lengths.cuda()[:, None]
    weight = (torch.randn(vocabulary, DIMENSION, device="cuda") / DIMENSION**0.5).to(dtype)
    # The maximum of 256 normal numbers is above 4 in 1 of 100 cases.
    bias = torch.full((vocabulary,), -4.0, device="cuda")
    gradient = torch.randn(len(lengths), vocabulary, device="cuda")
    tokens, cu_seqlens = unpadded(padded, mask)
    leaves = [tensor.requires_grad_() for tensor in (padded, tokens.detach(), weight, bias)]
    return Batch(leaves[0], mask, leaves[1], cu_seqlens, leaves[2], leaves[3], gradient)


def eager(batch: Batch) -> torch.Tensor:
    """As sentence-transformers pools: every logit activated, then the maximum."""
    logits = functional.linear(batch.padded, batch.weight, batch.bias.to(batch.padded.dtype))
    values = (logits * batch.mask[:, :, None].to(logits.dtype)).relu_()
    values = values.log1p() if torch.is_grad_enabled() else values.log1p_()
    return values.max(dim=1)[0]


def maximum_first(batch: Batch) -> torch.Tensor:
    """The same result with one activation per document and entry."""
    return _maximum_first(batch.padded, batch.mask, batch.weight, batch.bias)


def compiled(batch: Batch) -> torch.Tensor:
    """``maximum_first`` through torch.compile."""
    return _compiled(batch.padded, batch.mask, batch.weight, batch.bias)


def _maximum_first(
    padded: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    logits = functional.linear(padded, weight, bias.to(padded.dtype))
    return (logits * mask[:, :, None].to(logits.dtype)).max(dim=1)[0].float().relu().log1p()


_compiled = torch.compile(_maximum_first, dynamic=False)


def fused(batch: Batch) -> torch.Tensor:
    """The kernel, from tokens without padding."""
    length = batch.padded.shape[1]
    return splade_head(batch.tokens, batch.cu_seqlens, batch.weight, batch.bias, max_length=length)


def fused_from_padded(batch: Batch) -> torch.Tensor:
    """The kernel, with the removal of padding."""
    tokens, cu_seqlens = unpadded(batch.padded, batch.mask)
    length = batch.padded.shape[1]
    return splade_head(tokens, cu_seqlens, batch.weight, batch.bias, max_length=length)


def fused_rows(batch: Batch) -> torch.Tensor:
    """The kernel and its sparse rows, pruned at a tenth of the largest weight."""
    length = batch.padded.shape[1]
    arguments = (batch.tokens, batch.cu_seqlens, batch.weight, batch.bias)
    return splade_head_rows(*arguments, max_ratio=0.1, max_length=length)[2]


def product(batch: Batch) -> torch.Tensor:
    """The floor: the matrix product alone, of the tokens without padding."""
    return batch.tokens @ batch.weight.T


HEADS: dict[str, Callable[[Batch], torch.Tensor]] = {
    "eager (sentence-transformers)": eager,
    "eager, maximum first": maximum_first,
    "torch.compile, maximum first": compiled,
    "matrix product alone": product,
    "fused": fused,
    "fused, from a padded batch": fused_from_padded,
    "fused, to sparse rows": fused_rows,
}
FORWARD_ONLY = (product, fused_rows)


def time_all(quick: bool) -> Iterator[list[dict[str, Any]]]:
    """The rows of one case after the other."""
    ragged = torch.randint(16, LENGTH + 1, (BATCH,), generator=torch.Generator().manual_seed(2))
    ragged[0] = LENGTH
    kinds = {"full": torch.full((BATCH,), LENGTH), "ragged": ragged}
    types = TYPES[:1] if quick else TYPES
    vocabularies = VOCABULARIES[:1] if quick else VOCABULARIES
    for dtype, vocabulary, kind in itertools.product(types, vocabularies, kinds):
        batch = make_batch(vocabulary, dtype, kinds[kind])
        name = str(dtype).removeprefix("torch.")
        case = f"{name}, V={vocabulary}, {kind}, {len(batch.tokens)} tokens"
        common = {"case": case, "type": name, "vocabulary": vocabulary, "kind": kind}
        yield [{**common, "head": head, **measure(HEADS[head], batch, quick)} for head in HEADS]
        torch.cuda.empty_cache()


def measure(head: Callable[[Batch], torch.Tensor], batch: Batch, quick: bool) -> dict[str, Any]:
    """Median milliseconds and peak mebibytes above the inputs, of both passes."""

    def inference() -> None:
        with torch.no_grad():
            head(batch)

    def training() -> None:
        leaves = (batch.padded, batch.tokens, batch.weight, batch.bias)
        result = head(batch)
        torch.autograd.grad(result, leaves, batch.gradient.to(result.dtype), allow_unused=True)

    passes = {"forward": inference}
    if head not in FORWARD_ONLY:
        passes["both"] = training
    row: dict[str, Any] = {}
    for name, run in passes.items():
        try:
            run()  # Compiles.
            row[f"{name}_mib"] = extra_memory(run) / MIB
            row[f"{name}_ms"] = median_ms(run, quick)
        except Exception as error:  # Out of memory, or a compiler that gives up: the others go on.
            row[f"{name}_ms"] = None
            row[f"{name}_note"] = type(error).__name__
        torch.cuda.empty_cache()
    return row


def extra_memory(run: Callable[[], None]) -> int:
    """Bytes that a run allocates at its peak, beyond what was allocated."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def median_ms(run: Callable[[], Any], quick: bool) -> float:
    """Median of many runs, each with a cold L2 cache."""
    return float(do_bench(run, warmup=50, rep=100 if quick else 400, return_mode="median"))


def time_tiles(quick: bool) -> list[dict[str, Any]]:
    """Each shape of tile, for full and for short sequences of as many tokens."""
    rows = []
    for dtype, length in itertools.product(TYPES[::2], (LENGTH, 128, 64, 32)):
        lengths = torch.full((BATCH * LENGTH // length,), length)
        batch = make_batch(VOCABULARIES[0], dtype, lengths)
        arguments = (batch.tokens, batch.cu_seqlens, batch.weight, batch.bias)
        operations = 2 * len(batch.tokens) * DIMENSION * VOCABULARIES[0]
        for tile in TILES[dtype.itemsize]:
            row: dict[str, Any] = {"tile": str(tile), "type": str(dtype), "length": length}
            for name, winners in (("forward_ms", False), ("winners_ms", True)):
                try:
                    timed = partial(
                        forward,
                        *arguments,
                        double_log=False,
                        keep_winners=winners,
                        max_length=length,
                        tile=tile,
                    )
                    row[name] = median_ms(timed, quick)
                except Exception as error:  # Too little shared memory, for one.
                    row[name] = type(error).__name__
            time = row["forward_ms"]
            fast = round(operations / time / 1e9) if isinstance(time, float) else None
            rows.append({**row, "teraflops": fast})
    return rows
