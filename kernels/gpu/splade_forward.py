"""Vocabulary logits of each sequence, reduced to their maximum while they are in registers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

_GROUP_BYTES = 16 << 20
"""Hidden states that stay in the L2 cache while all blocks of the vocabulary pass by."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Shape of the matrix products and resources of a program.

    Attributes:
        vocabulary: Entries, a power of two.
        tokens: Tokens, a power of two from 16.
        dimension: Hidden dimensions per step, a power of two from 16.
        warps: Warps of a program.
        stages: Depth of the software pipeline.
    """

    vocabulary: int
    tokens: int
    dimension: int
    warps: int
    stages: int


TILES = {
    2: (
        Tile(256, 128, 64, 8, 3),
        Tile(128, 256, 64, 8, 3),
        Tile(128, 128, 64, 8, 3),
        Tile(128, 128, 32, 4, 4),
        Tile(128, 64, 64, 4, 3),
        Tile(128, 32, 64, 4, 3),
    ),
    4: (
        Tile(128, 128, 32, 8, 3),
        Tile(128, 64, 32, 8, 3),
        Tile(64, 64, 32, 4, 3),
        Tile(64, 32, 32, 4, 3),
    ),
}
"""Shapes by bytes per number, worth timing: ``benchmarks.gpu.splade_head --tune`` does so."""

_DEFAULT_SHARED_MEMORY = 99 << 10  # Bytes per program on the smallest GPUs from Ampere on.


def default_tile(hidden: torch.Tensor, max_length: int) -> Tile:
    """The first of ``TILES`` that has few tokens too many and fits into shared memory."""
    limit = _DEFAULT_SHARED_MEMORY
    if hidden.is_cuda:
        properties = torch.cuda.get_device_properties(hidden.device)
        limit = getattr(properties, "shared_memory_per_block_optin", limit)
    width = hidden.element_size()
    tiles = [
        tile
        for tile in TILES[width]
        if tile.stages * (tile.vocabulary + tile.tokens) * tile.dimension * width <= limit
        and tile.tokens <= 128
    ]
    return next((tile for tile in tiles if tile.tokens < 2 * max_length), tiles[-1])


@triton.jit
def _log1p(x):
    # Kahan's form: exact to rounding for small x too, where log(1 + x) alone has no digits.
    rounded = 1.0 + x
    difference = rounded - 1.0
    exact = difference == 0.0
    unbounded = rounded == float("inf")
    scaled = tl.log(rounded) * (x / tl.where(exact, 1.0, difference))
    return tl.where(exact | unbounded, x, scaled)


@triton.jit
def splade_forward_kernel(
    hidden,
    cu_seqlens,
    weight,
    bias,
    pooled,
    winners,
    sequences,
    vocabulary,
    group,
    dimension: tl.constexpr,
    block_vocabulary: tl.constexpr,
    block_tokens: tl.constexpr,
    block_dimension: tl.constexpr,
    double_log: tl.constexpr,
    keep_winners: tl.constexpr,
    precision: tl.constexpr,
):
    """One program per sequence and block of the vocabulary.

    Entries are the rows of the product and tokens its columns, so that a maximum over tokens
    stays within a warp. The sequences of a group come first, so that a block of ``weight`` is
    read from memory once for all of them.
    """
    program = tl.program_id(0)
    blocks = tl.cdiv(vocabulary, block_vocabulary)
    first = program // (group * blocks) * group
    width = tl.minimum(sequences - first, group)
    within = program % (group * blocks)
    sequence = first + within % width
    entries = within // width * block_vocabulary + tl.arange(0, block_vocabulary)
    # Rows beyond the end repeat the last one: loads need no mask, only the store has one.
    weight_rows = tl.minimum(entries, vocabulary - 1).to(tl.int64)
    entry_bias = tl.load(bias + weight_rows)
    start = tl.load(cu_seqlens + sequence)
    end = tl.load(cu_seqlens + sequence + 1)
    columns = tl.arange(0, block_dimension)
    best = tl.zeros([block_vocabulary], dtype=tl.float32)
    winner = tl.full([block_vocabulary], -1, dtype=tl.int32)
    for block_start in tl.range(start, end, block_tokens, flatten=True):
        tokens = block_start + tl.arange(0, block_tokens)
        token_rows = tl.minimum(tokens, end - 1).to(tl.int64)
        weight_block = weight + weight_rows[:, None] * dimension + columns[None, :]
        hidden_block = hidden + token_rows[None, :] * dimension + columns[:, None]
        logits = tl.zeros([block_vocabulary, block_tokens], dtype=tl.float32)
        for k in tl.range(0, dimension, block_dimension):
            if dimension % block_dimension == 0:
                left = tl.load(weight_block + k)
                right = tl.load(hidden_block + k)
            else:
                left = tl.load(weight_block + k, mask=k + columns[None, :] < dimension, other=0.0)
                right = tl.load(hidden_block + k, mask=k + columns[:, None] < dimension, other=0.0)
            logits = tl.dot(left, right, logits, input_precision=precision)
        logits = tl.where(tokens[None, :] < end, logits + entry_bias[:, None], 0.0)
        highest = tl.max(logits, axis=1)
        if keep_winners:
            positions = tl.where(logits == highest[:, None], tokens[None, :], end)
            winner = tl.where(highest > best, tl.min(positions, axis=1), winner)
        best = tl.maximum(best, highest)
    value = _log1p(best)
    if double_log:
        value = _log1p(value)
    output = sequence.to(tl.int64) * vocabulary + entries
    tl.store(pooled + output, value, mask=entries < vocabulary)
    if keep_winners:
        tl.store(winners + output, winner, mask=entries < vocabulary)


def forward(
    hidden: torch.Tensor,
    cu_seqlens: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    *,
    double_log: bool,
    keep_winners: bool,
    max_length: int,
    tile: Tile | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Document weights and, on request, the tokens that they came from.

    Cost: 2 T d V operations. Memory: the results alone. Equals ``reference.splade_head``; the
    running maximum starts at 0 and only a larger logit replaces it.

    Args:
        hidden: [T, d], contiguous, float32, bfloat16 or float16; sums are in float32.
        cu_seqlens: int32[B + 1] on the same device, first row of each sequence, then T.
        weight: [V, d], contiguous, of the type of ``hidden``.
        bias: float32[V].
        double_log: Whether ``log1p`` is applied twice.
        keep_winners: Whether the tokens are returned.
        max_length: Tokens of the longest sequence, about; it decides the speed only.
        tile: Shape of the products; by default one that fits type and length.

    Returns:
        float32[B, V], and int32[B, V] rows of ``hidden``: the first of those with the largest
        logit, -1 where no logit is positive.
    """
    sequences, (vocabulary, dimension) = len(cu_seqlens) - 1, weight.shape
    tile = tile or default_tile(hidden, max_length)
    pooled = torch.empty(sequences, vocabulary, device=hidden.device)
    winners = torch.empty_like(pooled, dtype=torch.int32) if keep_winners else None
    if pooled.numel() == 0:
        return pooled, winners
    bytes_per_sequence = max(1, hidden.nbytes // sequences)
    with torch.cuda.device_of(hidden):
        splade_forward_kernel[(sequences * triton.cdiv(vocabulary, tile.vocabulary),)](
            hidden,
            cu_seqlens,
            weight,
            bias,
            pooled,
            winners if winners is not None else cu_seqlens,
            sequences,
            vocabulary,
            min(sequences, max(1, _GROUP_BYTES // bytes_per_sequence)),
            dimension=dimension,
            block_vocabulary=tile.vocabulary,
            block_tokens=tile.tokens,
            block_dimension=tile.dimension,
            double_log=double_log,
            keep_winners=keep_winners,
            precision=_precision(hidden),
            num_warps=tile.warps,
            num_stages=tile.stages,
        )
    return pooled, winners


def _precision(hidden: torch.Tensor) -> str:
    """float32 through tensor cores in three products keeps its digits; one of tf32 has only 10."""
    if hidden.dtype != torch.float32 or not hidden.is_cuda or torch.version.hip:
        return "ieee"
    return "tf32x3" if torch.cuda.get_device_capability(hidden.device) >= (8, 0) else "ieee"
