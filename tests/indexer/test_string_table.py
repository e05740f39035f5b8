"""Strings by number: one by one and many at a time give the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import IndexCorruptError
from indexer.format.string_table import StringTable, write_string_table

PLAIN = [f"document-{number}" for number in range(100)]


def written(directory: Path, strings: list[str]) -> StringTable:
    write_string_table(directory, "ids", strings)
    return StringTable(directory, "ids")


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_many_are_those_of_one_by_one(data, tmp_path_factory) -> None:
    alphabet = data.draw(st.sampled_from(["ab", "ab\n", "ab\x00 é漢🙂"]))
    strings = data.draw(st.lists(st.text(alphabet, max_size=9), min_size=1, unique=True))
    table = written(tmp_path_factory.mktemp("table"), strings)
    numbers = data.draw(st.lists(st.integers(0, len(strings) - 1), max_size=80))
    assert table.take(np.array(numbers, dtype=np.int64)) == [strings[n] for n in numbers]
    assert [table[n] for n in range(len(strings))] == strings
    assert [table.find(string) for string in strings] == list(range(len(strings)))


@pytest.mark.parametrize("odd", ["", "é", "a\nb", "\n", "last\n"])
def test_one_odd_string_among_plain_ones(odd: str, tmp_path: Path) -> None:
    strings = [*PLAIN[:50], odd, *PLAIN[50:], f"{odd}."]
    table = written(tmp_path, strings)
    assert table.take(np.arange(len(strings))) == strings
    assert table.take(np.arange(len(strings))[::-1]) == strings[::-1]
    assert table.find("absent") == -1


def test_bytes_that_are_no_text_are_found(tmp_path: Path) -> None:
    table = written(tmp_path, ["plain", "é"])
    path = tmp_path / "ids.bytes.npy"
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
    table = StringTable(tmp_path, "ids")
    for number in (1, np.array([0, 1]), np.array([1] * 100)):
        with pytest.raises(IndexCorruptError):
            table.take(number) if isinstance(number, np.ndarray) else table[number]
