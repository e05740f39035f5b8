"""Reading training text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from encoders.training.errors import TrainingError
from encoders.training.sources import Source, excluded_queries, read_source


def source(kind: str, path: Path, **settings: Any) -> Source:
    return Source(name="source", kind=kind, path=path, **settings)


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_judged_queries_come_with_their_documents(collection: Path) -> None:
    found = read_source(source("judged", collection))
    assert len(found.queries) == len(found.documents) == 48
    for query, [number] in zip(found.queries, found.positives, strict=True):
        assert set(query.split()[:2]) <= set(found.documents[number].rstrip(".").split())


def test_held_back_queries_are_the_others(collection: Path) -> None:
    share = {"held_back_share": 0.3}
    kept = read_source(source("judged", collection, **share)).queries
    held_back = read_source(source("judged", collection, held_back="only", **share)).queries
    assert held_back
    assert sorted(kept + held_back) == sorted(read_source(source("judged", collection)).queries)


def test_excluded_queries_are_left_out(collection: Path) -> None:
    share = {"held_back_share": 0.3}
    held_back = source("judged", collection, held_back="only", **share)
    whole = read_source(source("judged", collection), excluded_queries([held_back]))
    assert whole.queries == read_source(source("judged", collection, **share)).queries


def test_titles_are_queries_of_their_text(collection: Path) -> None:
    found = read_source(source("titles", collection, stride=4, offset=1, documents=5))
    assert len(found.queries) == 5
    assert not any(q in d for q, d in zip(found.queries, found.documents, strict=True))


def test_a_sentence_is_taken_out_of_its_document(tmp_path: Path) -> None:
    sentences = [f"Sentence {name} has five words." for name in ("one", "two", "three")]
    records = [
        {"_id": str(number), "title": "Title", "text": " ".join(sentences)} for number in range(4)
    ]
    write_lines(tmp_path / "corpus.jsonl", records)
    found = read_source(source("sentences", tmp_path))
    for query, document in zip(found.queries, found.documents, strict=True):
        assert query in sentences
        assert document == " ".join(["Title", *(s for s in sentences if s != query)])


def test_weak_pairs_give_negatives_and_skip_unknown_documents(tmp_path: Path) -> None:
    write_lines(tmp_path / "corpus.jsonl", [{"_id": i, "title": i, "text": "x"} for i in "abc"])
    pair = {"_id": "q", "query": "which", "pos": [["z", 0], ["b", 3]], "hard_neg": ["c", "y"]}
    write_lines(tmp_path / "weak_pairs.jsonl", [pair])
    found = read_source(source("weak-pairs", tmp_path))
    assert found.documents == ["b x", "c x"]
    assert (found.positives, found.negatives) == ([[0]], [[1]])


def test_triples_keep_scores(tmp_path: Path) -> None:
    path = tmp_path / "triples.jsonl"
    write_lines(path, [{"query": "q", "docs": ["good", "bad", "worse"], "scores": [3, 2, 1]}])
    found = read_source(source("triples", path))
    assert found.scores == [{0: 3.0, 1: 2.0, 2: 1.0}]
    assert (found.positives, found.negatives) == ([[0]], [[1, 2]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}\n[]\n", "line 2: expected a JSON object"),
        (b"{broken", "cannot be read as JSON lines"),
        (b"\xff\xfe\n", "cannot be read as JSON lines"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        read_source(source("titles", tmp_path))


def test_missing_files_and_empty_sources_are_errors(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has no corpus"):
        read_source(source("titles", tmp_path))
    write_lines(tmp_path / "corpus.jsonl", [{"_id": "a", "text": "no title"}])
    with pytest.raises(TrainingError, match="gives 0 queries"):
        read_source(source("titles", tmp_path))
    with pytest.raises(TrainingError, match="does not exist"):
        read_source(source("judged", tmp_path, split="nowhere"))
