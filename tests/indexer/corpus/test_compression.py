from __future__ import annotations

import gzip
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
SUFFIXES = sorted(COMPRESS)


def lines(count: int) -> bytes:
    words = random.Random(7)
    rows = [{"_id": f"d{n}", "text": f"{words.getrandbits(400):x}"} for n in range(count)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.jsonl", b'{"id": "1", "text": "x"}\n'),
        ("c.json", b'[{"id": "1", "text": "x"}]'),
        ("c.csv", b"id,text\n1,x\n"),
        ("c.tsv", b"id\ttext\n1\tx\n"),
        ("c.md", b"x"),
    ],
)
def test_every_format(read: Any, tmp_path: Path, suffix: str, name: str, content: bytes) -> None:
    path = tmp_path / (name + suffix)
    path.write_bytes(COMPRESS[suffix](content))
    result = read(path)
    assert result.documents[0].text == "x"
    assert result.rejects == []
    assert result.corpus.bytes_read == result.corpus.bytes_total == path.stat().st_size


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_streams_in_a_file(read: Any, tmp_path: Path, suffix: str) -> None:
    data = lines(4000)
    path = tmp_path / f"c.jsonl{suffix}"
    path.write_bytes(COMPRESS[suffix](data[:12345]) + COMPRESS[suffix](data[12345:]))
    assert len(read(path).ids) == 4000


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", ["truncated", "corrupt", "rubbish behind"])
def test_damage_keeps_what_stands_before(
    read: Any, tmp_path: Path, suffix: str, damage: str
) -> None:
    compressed = bytearray(COMPRESS[suffix](lines(8000)))
    middle = len(compressed) * 3 // 4
    if damage == "truncated":
        del compressed[middle:]
    elif damage == "corrupt":
        compressed[middle : middle + 64] = bytes(64)
    else:
        compressed += b"rubbish"
    path = tmp_path / f"c.jsonl{suffix}"
    path.write_bytes(compressed)
    other = tmp_path / "d.jsonl"
    other.write_text('{"_id": "other", "text": "x"}\n')
    result = read(tmp_path)
    damaged = [reject for reject in result.rejects if "damaged file" in reject["reason"]]
    assert len(damaged) == 1
    assert damaged[0]["file"] == str(path)
    assert result.ids[-1] == "other"
    read_before = len(result.ids) - 1
    if damage == "rubbish behind":
        assert read_before == 8000
    else:
        # What the wrong bytes of a gzip stream mean is found out only at its checksum.
        assert read_before > 1000
    if damage == "truncated":
        assert damaged[0]["line"] == read_before + 1
        assert len(result.rejects) == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["c.jsonl", "c.csv", "c.txt", "c.parquet"])
def test_named_as_compressed_but_not(read: Any, tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / (name + suffix)
    path.write_bytes(b'{"id": "1"}\n')
    result = read(path)
    assert result.ids == []
    assert "is not compressed so" in result.reasons[0]


def test_compressed_without_saying_so(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(gzip.compress(b'{"id": "1", "text": "x"}\n'))
    assert read(path).ids == ["1"]


def test_progress_grows_to_the_total(tmp_path: Path) -> None:
    from indexer.corpus.reader import CorpusOptions, open_corpus

    path = tmp_path / "c.jsonl.xz"
    path.write_bytes(lzma.compress(lines(30_000), preset=0))
    corpus = open_corpus(path, CorpusOptions(sample_size=10))
    seen = {corpus.bytes_read for _ in corpus}
    assert len(seen) > 1
    assert max(seen) <= corpus.bytes_read == corpus.bytes_total
