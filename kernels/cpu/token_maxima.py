"""The largest product of a text's tokens with each vocabulary entry, with no product stored.

A SPLADE-type head multiplies every token's state with every row of the vocabulary projection and
keeps a maximum per text and entry. Here both operands are packed so that a tile of the product,
``rows`` tokens times two vectors of entries, is summed up in registers and goes straight from
there into the text's maxima. What a matrix product would write, 4 bytes for every 2 d operations,
is never written, and the maximum costs one instruction per vector.

Numba cannot be told to hold a tile in registers, so the tile is written as LLVM instructions. They
are portable vectors and fused multiply-adds, apart from 8-bit products, which x86 alone has here:
by VNNI (``vpdpbusd``), or by ``vpmaddubsw`` of AVX2 and AVX-512BW. Each sum runs over the states'
components in order: the maxima of a text are the same bits in any company.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray


def _features() -> set[str]:
    """Instruction sets that Numba compiles for."""
    if config.CPU_FEATURES is not None:
        return {name[1:] for name in config.CPU_FEATURES.split(",") if name.startswith("+")}
    return {name for name, present in llvm.get_host_cpu_features().items() if present}


_FEATURES = _features()
_LANES = 16 if "avx512f" in _FEATURES else 8 if "avx2" in _FEATURES else 4
# Accumulators, two vectors of entries and one of a token's component fill the registers.
_LARGE, _SMALL = (6, 3) if _LANES == 8 else (12, 4)
_VNNI = {"avx512f", "avx512vnni"} <= _FEATURES
# Of the instructions that multiply bytes and add neighbours there is one per length of a vector.
_BYTE_PAIRS, _PAIR_SUMS = {
    16: ("llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"),
    8: ("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
    4: ("", ""),
}[_LANES]

ENTRIES = 2 * _LANES
"""Vocabulary entries of a tile; a vocabulary is filled up to a multiple of it."""

EIGHT_BIT_PRODUCTS = _VNNI or {16: "avx512bw", 8: "avx2", 4: ""}[_LANES] in _FEATURES
"""Whether ``raise_to_8bit_products`` runs on this processor."""

LARGEST_LEVEL = 127 if _VNNI else 63
"""Largest level of a vocabulary in 8-bit products: those of AVX2 saturate with more."""

INSTRUCTIONS = f"{_LANES}-lane fused multiply-add" + (
    ", vpdpbusd" if _VNNI else ", vpmaddubsw" if EIGHT_BIT_PRODUCTS else ""
)


def pack_vocabulary(weight: NDArray[Any]) -> NDArray[Any]:
    """Lays the rows of a projection out for the tiles.

    Args:
        weight: float32[V, d], or int8[V, d] within ``LARGEST_LEVEL``.

    Returns:
        float32[P, d, ENTRIES], or int8[P, d / 4, ENTRIES, 4], zeros after the last row and
        component; P panels of ``ENTRIES`` rows.
    """
    step = 4 if weight.dtype == np.int8 else 1
    panels, depth = -(-len(weight) // ENTRIES), -(-weight.shape[1] // step) * step
    whole = np.zeros((panels * ENTRIES, depth), weight.dtype)
    whole[: len(weight), : weight.shape[1]] = weight
    parts = whole.reshape(panels, ENTRIES, depth // step, step).transpose(0, 2, 1, 3)
    packed = np.ascontiguousarray(parts)
    return packed if step == 4 else packed[..., 0]


def pack_tokens(
    states: NDArray[Any], lengths: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Lays the states of tokens out for the tiles.

    Args:
        states: float32[n, d], or uint8[n, d] (around 128), text after text.
        lengths: int64[B] > 0, tokens of each text; their sum is n.

    Returns:
        The packed states, one-dimensional; int64[tiles, 4]: where a tile begins in them, its
        rows, its text, and how many rows lie before it; int64[rows], the token of each row. A
        text's last tile repeats its last token, which changes no maximum.
    """
    step = 4 if states.dtype == np.uint8 else 1
    depth = -(-states.shape[1] // step) * step
    capacity = len(states) + len(lengths) * _SMALL
    packed = np.empty(capacity * depth, states.dtype)
    tiles = np.empty((capacity, 4), np.int64)
    token_of = np.empty(capacity, np.int64)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    count, rows = _pack(states, starts, step, depth, packed, tiles, token_of)
    return packed[: rows * depth], tiles[:count], token_of[:rows]


@njit(nogil=True, cache=True)
def _pack(states, starts, step, depth, packed, tiles, token_of):  # type: ignore[no-untyped-def]
    count, place, before = 0, 0, 0
    for text in range(len(starts) - 1):
        token, end = starts[text], starts[text + 1]
        while token < end:
            rows = _LARGE if end - token > _LARGE - _SMALL else _SMALL
            tiles[count, 0], tiles[count, 1] = place, rows
            tiles[count, 2], tiles[count, 3] = text, before
            for row in range(rows):
                source = min(token + row, end - 1)
                token_of[before + row] = source
                for k in range(depth):
                    value = states[source, k] if k < states.shape[1] else states.dtype.type(0)
                    packed[place + (k // step * rows + row) * step + k % step] = value
            place += rows * depth
            before += rows
            count += 1
            token += rows
    return count, before


def _tile(rows: int, *, quantised: bool) -> Any:
    """The instructions that raise a text's maxima to the products of one tile.

    Arguments of the intrinsic: steps along the states, then arrays, each with a place in it: the
    packed states, the packed vocabulary, the maxima; and, read for 8 bits only, the corrections
    of the panel's entries and the scales of the tile's rows.
    """
    single = ir.VectorType(ir.FloatType(), _LANES)
    whole = ir.VectorType(ir.IntType(32), _LANES)
    sums = whole if quantised else single

    @intrinsic
    def raise_maxima(  # type: ignore[no-untyped-def]
        typing_context, steps, packed, at, vocabulary, panel_at, maxima, to,
        corrections, entry, scales, before,
    ):  # fmt: skip
        arrays = (packed, at, vocabulary, panel_at, maxima, to, corrections, entry, scales, before)
        signature = types.void(steps, *arrays)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            steps, *values = arguments
            places = []
            for kind, value, index in zip(arrays[::2], values[::2], values[1::2], strict=True):
                data = context.make_array(kind)(context, builder, value).data
                places.append(builder.gep(data, [index]))
            states, vocabulary, maxima, corrections, scales = places

            def vector(pointer: Any, index: Any, kind: Any) -> Any:
                """Pointer to a vector, ``index`` of its elements into an array."""
                element = builder.bitcast(pointer, kind.element.as_pointer())
                return builder.bitcast(builder.gep(element, [index]), kind.as_pointer())

            def everywhere(value: Any, kind: Any) -> Any:
                undefined = ir.Constant(kind, ir.Undefined)
                first = builder.insert_element(undefined, value, ir.IntType(32)(0))
                return builder.shuffle_vector(first, undefined, ir.Constant(whole, [0] * _LANES))

            index = steps.type
            totals = [[cgutils.alloca_once(builder, sums) for _ in "ab"] for _ in range(rows)]
            for half in range(2):
                start = ir.Constant(sums, [0] * _LANES)
                if quantised:
                    start = builder.load(vector(corrections, index(half * _LANES), whole), align=4)
                for row in range(rows):
                    builder.store(start, totals[row][half])
            with cgutils.for_range(builder, steps, intp=index) as loop:
                first_entry = builder.mul(loop.index, index(ENTRIES))
                entries = [
                    builder.load(
                        vector(vocabulary, builder.add(first_entry, index(half * _LANES)), sums),
                        align=4,
                    )
                    for half in range(2)
                ]
                components = builder.bitcast(states, sums.element.as_pointer())
                first_row = builder.mul(loop.index, index(rows))
                for row in range(rows):
                    component = builder.gep(components, [builder.add(first_row, index(row))])
                    state = everywhere(builder.load(component, align=1), sums)
                    for half in range(2):
                        total = builder.load(totals[row][half])
                        add = _add_8bit if quantised else _add
                        builder.store(add(builder, total, state, entries[half]), totals[row][half])
            for half in range(2):
                kept = vector(maxima, index(half * _LANES), single)
                largest = builder.load(kept, align=4)
                for row in range(rows):
                    product = builder.load(totals[row][half])
                    if quantised:
                        scale = builder.load(builder.gep(scales, [index(row)]))
                        product = builder.sitofp(product, single)
                        product = builder.fmul(product, everywhere(scale, single))
                    above = builder.fcmp_ordered(">", product, largest)
                    largest = builder.select(above, product, largest)
                builder.store(largest, kept, align=4)
            return context.get_dummy_value()

        return signature, generate

    return raise_maxima


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _add(builder: Any, total: Any, state: Any, entries: Any) -> Any:
    return _call(builder, f"llvm.fma.v{_LANES}f32", total.type, state, entries, total)


def _add_8bit(builder: Any, total: Any, state: Any, entries: Any) -> Any:
    """Adds the sums of four products of unsigned and signed bytes to each 32-bit number."""
    if _VNNI:
        name = "llvm.x86.avx512.vpdpbusd.512"
        return _call(builder, name, total.type, total, state, entries)
    octets = ir.VectorType(ir.IntType(8), 4 * _LANES)
    pairs = ir.VectorType(ir.IntType(16), 2 * _LANES)
    operands = (builder.bitcast(operand, octets) for operand in (state, entries))
    products = _call(builder, _BYTE_PAIRS, pairs, *operands)
    ones = ir.Constant(pairs, [1] * (2 * _LANES))
    return builder.add(total, _call(builder, _PAIR_SUMS, total.type, products, ones))


_large_tile, _small_tile = _tile(_LARGE, quantised=False), _tile(_SMALL, quantised=False)
_large_8bit_tile, _small_8bit_tile = _tile(_LARGE, quantised=True), _tile(_SMALL, quantised=True)


@njit(nogil=True, cache=True)
def raise_to_products(packed, tiles, vocabulary, maxima):  # type: ignore[no-untyped-def]
    """Raises each text's maxima to the products of its tokens with the vocabulary.

    Args:
        packed: float32, states of tokens; see ``pack_tokens``, as for the next.
        tiles: int64[tiles, 4].
        vocabulary: float32[P, d, ENTRIES], contiguous; see ``pack_vocabulary``.
        maxima: float32[B, P * ENTRIES], updated. A product that is NaN is passed over.
    """
    panels, depth, _ = vocabulary.shape
    for panel in range(panels):
        entry = panel * ENTRIES
        panel_at = entry * depth
        for tile in range(len(tiles)):
            at, to = tiles[tile, 0], tiles[tile, 2] * maxima.shape[1] + entry
            # The last four arguments are read for 8 bits only.
            if tiles[tile, 1] == _LARGE:
                _large_tile(
                    depth, packed, at, vocabulary, panel_at, maxima, to, maxima, 0, maxima, 0
                )
            else:
                _small_tile(
                    depth, packed, at, vocabulary, panel_at, maxima, to, maxima, 0, maxima, 0
                )


@njit(nogil=True, cache=True)
def raise_to_8bit_products(  # type: ignore[no-untyped-def]
    packed, tiles, vocabulary, maxima, corrections, scales
):
    """The same with 8-bit operands, whose products are ``scale * (states - 128) . entry``.

    Args:
        packed: uint8, states of tokens around 128.
        tiles: int64[tiles, 4].
        vocabulary: int8[P, d / 4, ENTRIES, 4], contiguous, within ``LARGEST_LEVEL``.
        maxima: float32[B, P * ENTRIES], updated.
        corrections: int32[P * ENTRIES], -128 times the sum of each entry's components.
        scales: float32[rows], > 0, of each packed row.
    """
    panels, steps = vocabulary.shape[:2]
    for panel in range(panels):
        entry = panel * ENTRIES
        panel_at = entry * steps * 4
        for tile in range(len(tiles)):
            at, to = tiles[tile, 0], tiles[tile, 2] * maxima.shape[1] + entry
            before = tiles[tile, 3]
            if tiles[tile, 1] == _LARGE:
                _large_8bit_tile(
                    steps, packed, at, vocabulary, panel_at, maxima, to,
                    corrections, entry, scales, before,
                )  # fmt: skip
            else:
                _small_8bit_tile(
                    steps, packed, at, vocabulary, panel_at, maxima, to,
                    corrections, entry, scales, before,
                )  # fmt: skip


@njit(nogil=True, cache=True)
def chosen_maxima(  # type: ignore[no-untyped-def]
    packed, tiles, rows, scales, entries, starts, maxima
):
    """The largest product of a text's tokens with each of some entries, chosen for the text.

    Each is that of ``raise_to_products``, bit for bit.

    Args:
        packed: float32, states of tokens; see ``pack_tokens``, as for the next.
        tiles: int64[tiles, 4], text after text.
        rows: float32[V, d], or int8[V, d], the vocabulary.
        scales: float32[V], factors of its rows.
        entries: int64[n], the entries of each text, text after text.
        starts: int64[B + 1], where a text's entries begin, and n.
        maxima: float32[n], filled.
    """
    depth = rows.shape[1]
    panel = np.zeros((depth, ENTRIES), np.float32)
    largest = np.empty(ENTRIES, np.float32)
    first_tile = 0
    for text in range(len(starts) - 1):
        last_tile = first_tile
        while last_tile < len(tiles) and tiles[last_tile, 2] == text:
            last_tile += 1
        for first in range(starts[text], starts[text + 1], ENTRIES):
            count = min(ENTRIES, starts[text + 1] - first)
            for column in range(count):
                entry = entries[first + column]
                scale = scales[entry]
                for k in range(depth):
                    panel[k, column] = rows[entry, k] * scale
            largest[:] = -np.inf
            for tile in range(first_tile, last_tile):
                at = tiles[tile, 0]
                # The last four arguments are read for 8 bits only.
                if tiles[tile, 1] == _LARGE:
                    _large_tile(depth, packed, at, panel, 0, largest, 0, largest, 0, largest, 0)
                else:
                    _small_tile(depth, packed, at, panel, 0, largest, 0, largest, 0, largest, 0)
            maxima[first : first + count] = largest[:count]
        first_tile = last_tile
