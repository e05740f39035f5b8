"""Reading collections in BEIR layout."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest
import zstandard

from eval.datasets.beir import available_splits, open_dataset
from eval.datasets.qrels import read_qrels
from eval.errors import DatasetError, SplitError

CORPUS = [
    {"_id": "d1", "title": "Apples", "text": "Red and green"},
    {"_id": "d2", "title": "", "text": "Pears"},
    {"_id": "d3", "title": "Only a title"},
]
QUERIES = [{"_id": "q1", "text": "red apple"}, {"_id": "q2", "text": "naïve pear"}]
PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def write_collection(folder: Path, suffix: str = "", splits: tuple[str, ...] = ("test",)) -> Path:
    (folder / "qrels").mkdir(parents=True)
    pack = PACKERS[suffix]
    for name, records in (("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES)):
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (folder / (name + suffix)).write_bytes(pack(text.encode()))
    qrels = "query-id\tcorpus-id\tscore\nq2\td2\t2\nq1\td1\t1\nq1\td2\t0\n"
    for split in splits:
        (folder / "qrels" / f"{split}.tsv{suffix}").write_bytes(pack(qrels.encode()))
    return folder


@pytest.mark.parametrize("suffix", PACKERS)
def test_reads_plain_and_compressed_files_alike(tmp_path: Path, suffix: str) -> None:
    dataset = open_dataset(write_collection(tmp_path / "fruit", suffix))
    assert (dataset.name, dataset.split) == ("fruit", "test")
    assert dataset.queries == {"q2": "naïve pear", "q1": "red apple"}
    assert dataset.qrels == {"q2": {"d2": 2}, "q1": {"d1": 1, "d2": 0}}
    texts = [(document.doc_id, document.full_text()) for document in dataset.documents()]
    assert texts == [("d1", "Apples Red and green"), ("d2", "Pears"), ("d3", "Only a title")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("query-id\tcorpus-id\tscore\nq 1\td 1\t1\n", {"q 1": {"d 1": 1}}),
        ("q1\td1\t1\nq1\td2\t0\n", {"q1": {"d1": 1, "d2": 0}}),
        ("q1 0 d1 3\nq1 0 d2 -1\n\n", {"q1": {"d1": 3, "d2": -1}}),
        ("q1\t0\td1\t1\n", {"q1": {"d1": 1}}),
        ("\ufeffquery-id\tcorpus-id\tscore\r\nq1\td1\t1.0\r\n", {"q1": {"d1": 1}}),
        ("q1\td1\t1\nq1\td1\t1\n", {"q1": {"d1": 1}}),
        ("corpus-id\tscore\tquery_id\nd1\t2\tq1\n", {"q1": {"d1": 2}}),
        ("a\tb\tc\nq1\td1\t1\n", {"q1": {"d1": 1}}),
    ],
    ids=[
        "beir",
        "no header",
        "trec",
        "trec with tabs",
        "windows",
        "repeated line",
        "another order",
        "other names",
    ],
)
def test_qrels_formats(tmp_path: Path, content: str, expected: dict) -> None:
    path = tmp_path / "test.tsv"
    path.write_bytes(content.encode())
    assert read_qrels(path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1\td1\t1\nq1\td2\thigh\n", "line 2: the relevance must be a whole number, got 'high'"),
        ("q1\td1\t1\nq1\td2\t0.5\n", "line 2"),
        ("q1\td1\t0.5\nq1\td2\t1\n", "line 1: the relevance must be a whole number"),
        ("q1\td1\t\nq1\td2\t1\n", "line 1: the relevance must be a whole number"),
        ("q1 0 d1 x1\nq1 0 d2 1\n", "line 1: the relevance must be a whole number"),
        ("q1 d1\n", "line 1: expected"),
        ("q1\td1\t1\nq1\td1\t2\n", "line 2: query 'q1' and document 'd1' are judged 2"),
        ("query-id\tcorpus-id\tscore\n", "holds no judgement"),
        ("", "holds no judgement"),
    ],
)
def test_bad_qrels_are_named_with_their_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "test.tsv"
    path.write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_qrels(path)


def test_default_split_is_test_or_the_only_one(tmp_path: Path) -> None:
    several = write_collection(tmp_path / "a", splits=("dev", "test", "train"))
    assert open_dataset(several).split == "test"
    assert open_dataset(several, "dev").split == "dev"
    assert list(available_splits(several)) == ["dev", "test", "train"]
    assert open_dataset(write_collection(tmp_path / "b", splits=("dev",))).split == "dev"
    without_test = write_collection(tmp_path / "c", splits=("dev", "train"))
    with pytest.raises(SplitError, match="choose one of: dev, train"):
        open_dataset(without_test)
    with pytest.raises(SplitError, match="no split 'tset'; choose one of: dev, test, train"):
        open_dataset(several, "tset")


def test_judged_queries_without_text_are_kept_and_named(tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "fruit")
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q9\td1\t1\n")
    dataset = open_dataset(folder)
    assert dataset.queries_without_text == ("q9",)
    assert "q9" in dataset.qrels


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_missing_files_are_named(tmp_path: Path, name: str) -> None:
    folder = write_collection(tmp_path / "fruit")
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=r"corpus\.jsonl|queries\.jsonl|no judgements"):
        list(open_dataset(folder).documents())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 4 is not JSON"),
        (b"[1]", "line 4: expected a JSON object"),
        (b'{"text": "x"}', "line 4: '_id' must be a non-empty string"),
        (b'{"_id": "x", "text": 3}', "line 4: 'title' and 'text' must be strings"),
        (b'{"_id": "\xff"}', "is not UTF-8"),
    ],
)
def test_bad_records_are_named_with_their_line(tmp_path: Path, line: bytes, message: str) -> None:
    folder = write_collection(tmp_path / "fruit")
    with (folder / "corpus.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(DatasetError, match=message):
        list(open_dataset(folder).documents())


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_truncated_compression_is_named(tmp_path: Path, suffix: str) -> None:
    folder = write_collection(tmp_path / "fruit", suffix)
    path = folder / f"queries.jsonl{suffix}"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DatasetError, match="is damaged"):
        open_dataset(folder)


def test_real_collections_open(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "cranfield")
    assert (len(dataset.queries), sum(1 for _ in dataset.documents())) == (225, 1400)
    assert max(grade for judged in dataset.qrels.values() for grade in judged.values()) > 1
    with pytest.raises(SplitError, match="dev2"):
        open_dataset(shared_data / "squad", "dev")
