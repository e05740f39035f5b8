"""Compiles every kernel for a GPU that need not be there: ``compile_kernels.py CAPABILITY``."""

from __future__ import annotations

import re
import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.gpu.sparse_rows import count_kernel, fill_kernel
from kernels.gpu.splade_backward import splade_hidden_gradient_kernel, splade_weight_gradient_kernel
from kernels.gpu.splade_forward import TILES, splade_forward_kernel

CAPABILITY = int(sys.argv[1])


def compiled(kernel: Any, signature: str, warps: int = 4, stages: int = 3, **constants: Any) -> str:
    """The kernel's PTX, free of atomic operations and accepted by the assembler."""
    types = signature.split()
    source = ASTSource(
        fn=kernel,
        signature=dict(
            zip(kernel.arg_names, [*types, *["constexpr"] * len(constants)], strict=True)
        ),
        constexprs={(kernel.arg_names.index(name),): value for name, value in constants.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, t in enumerate(types) if t[0] == "*"},
    )
    options = {"num_warps": warps, "num_stages": stages}
    target = GPUTarget("cuda", CAPABILITY, 32)
    ptx = triton.compile(source, target=target, options=options).asm["ptx"]
    assert ".entry" in ptx
    assert not re.search(r"\b(atom|red)\.", ptx)
    return ptx


for number, width, precision in (("*bf16", 2, "ieee"), ("*fp32", 4, "tf32x3")):
    tile = next(tile for tile in TILES[width] if tile.tokens == 64)
    ptx = compiled(
        splade_forward_kernel,
        f"{number} *i32 {number} *fp32 *fp32 *i32 i32 i32 i32",
        tile.warps,
        tile.stages,
        dimension=768,
        block_vocabulary=tile.vocabulary,
        block_tokens=tile.tokens,
        block_dimension=tile.dimension,
        double_log=True,
        keep_winners=True,
        precision=precision,
    )
    assert "mma" in ptx, "no tensor cores"
blocks = {"dimension": 100, "block_entries": 32, "block_dimension": 128}
compiled(splade_weight_gradient_kernel, "*bf16 *i32 *fp32 *bf16 *fp32 i32 i32", **blocks)
compiled(splade_hidden_gradient_kernel, "*bf16 *fp32 *i64 *i64 *bf16 i32", **blocks)
compiled(count_kernel, "*fp32 *fp32 *i32 i32", block_width=1024)
compiled(fill_kernel, "*fp32 *fp32 *i64 *i32 *fp32 i32", block_width=1024)
