"""Strings read out of one array are those that were put there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.cpu.strings import join_strings

SEPARATOR = 10


def laid_out(strings: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Content and offsets, read-only as a memory map is."""
    content = np.frombuffer(b"".join(strings), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, strings)]).astype(np.uint64)
    offsets.flags.writeable = False
    return content, offsets


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_strings_are_joined_in_the_order_asked_for(data) -> None:
    strings = data.draw(st.lists(st.binary(max_size=6), min_size=1, max_size=9))
    numbers = data.draw(st.lists(st.integers(0, len(strings) - 1), max_size=20))
    joined = join_strings(*laid_out(strings), np.array(numbers, dtype=np.int64), SEPARATOR)
    assert joined.tobytes() == b"".join(strings[n] + bytes([SEPARATOR]) for n in numbers)


@pytest.mark.parametrize("number", [-1, 2, 2**40])
def test_a_number_without_a_string_is_refused(number: int) -> None:
    content, offsets = laid_out([b"a", b"b"])
    with pytest.raises(IndexError, match="between 0 and 1"):
        join_strings(content, offsets, np.array([0, number]), SEPARATOR)
