"""An immutable table of strings with numbers: number to string and string to number.

Files (prefix ``NAME``): ``NAME.bytes.npy`` all strings in UTF-8, ``NAME.offsets.npy`` uint64[n+1],
``NAME.slots.npy`` an open-addressing hash table uint32[2^m] of number + 1 (0 = empty), probed
linearly from the low bits of the string's 64-bit xxh3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from indexer.errors import IndexCorruptError
from indexer.format.arrays import check_offsets, read_array, write_array
from kernels.cpu.strings import join_strings


def write_string_table(directory: Path, name: str, strings: Sequence[str]) -> None:
    """Writes distinct strings; a string's number is its position."""
    encoded = [string.encode() for string in strings]
    offsets = np.zeros(len(encoded) + 1, dtype=np.uint64)
    np.cumsum([len(string) for string in encoded], out=offsets[1:], dtype=np.uint64)
    size = 8
    while size < 2 * len(encoded):
        size *= 2
    hashes = np.fromiter(
        (xxhash.xxh3_64_intdigest(string) for string in encoded), np.uint64, len(encoded)
    )
    write_array(directory / f"{name}.bytes.npy", np.frombuffer(b"".join(encoded), dtype=np.uint8))
    write_array(directory / f"{name}.offsets.npy", offsets)
    write_array(directory / f"{name}.slots.npy", _place(hashes, size))


def _place(hashes: NDArray[np.uint64], size: int) -> NDArray[np.uint32]:
    """Linear probing, all strings at once: in each round every free slot takes one string."""
    slots = np.zeros(size, dtype=np.uint32)
    mask = np.uint64(size - 1)
    waiting = np.arange(len(hashes), dtype=np.uint32)
    position = (hashes & mask).astype(np.int64)
    while len(waiting):
        free = slots[position] == 0
        candidates, candidate_positions = waiting[free], position[free]
        _, first = np.unique(candidate_positions, return_index=True)
        slots[candidate_positions[first]] = candidates[first] + 1
        left = slots[position] != waiting + 1
        waiting, position = waiting[left], (position[left] + 1) & (size - 1)
    return slots


_LINE_FEED = 10


class StringTable:
    """Reader of the files above."""

    def __init__(self, directory: Path, name: str, *, memory_map: bool = True) -> None:
        def read(kind: str, dtype: type) -> NDArray:
            return read_array(directory / f"{name}.{kind}.npy", dtype, memory_map=memory_map)

        self._path = directory / f"{name}.bytes.npy"
        self._bytes = read("bytes", np.uint8)
        self._offsets = read("offsets", np.uint64)
        self._slots = read("slots", np.uint32)
        check_offsets(directory / f"{name}.offsets.npy", self._offsets, len(self._bytes))
        # Elements of a memoryview are Python objects at once, several times faster than numpy's.
        self._byte_view = self._bytes.data
        self._offset_view = self._offsets.data
        self._mask = len(self._slots) - 1
        if len(self._slots) & self._mask or len(self._slots) <= len(self):
            raise IndexCorruptError(
                directory / f"{name}.slots.npy", f"a hash table of {len(self._slots)} slots"
            )

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, number: int) -> str:
        start, end = self._offset_view[number], self._offset_view[number + 1]
        try:
            return str(self._byte_view[start:end], "utf-8")
        except UnicodeDecodeError:
            raise IndexCorruptError(self._path, f"string {number} is not UTF-8") from None

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        """Many strings by their numbers, faster than one by one."""
        joined = join_strings(self._bytes, self._offsets, numbers, _LINE_FEED).tobytes()
        try:
            strings = joined.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            raise IndexCorruptError(self._path, "a string is not UTF-8") from None
        if len(strings) == len(numbers) + 1:
            return strings[:-1]
        return [self[number] for number in numbers.tolist()]  # one has a line feed itself

    def __iter__(self) -> Iterator[str]:
        for number in range(len(self)):
            yield self[number]

    def find(self, string: str) -> int:
        """The string's number, or -1."""
        encoded = string.encode("utf-8", "surrogatepass")
        slot = xxhash.xxh3_64_intdigest(encoded) & self._mask
        for _ in range(len(self._slots)):
            number = int(self._slots[slot]) - 1
            if number < 0 or number >= len(self):
                return -1
            start, end = self._offset_view[number], self._offset_view[number + 1]
            if end - start == len(encoded) and self._byte_view[start:end] == encoded:
                return number
            slot = (slot + 1) & self._mask
        return -1
