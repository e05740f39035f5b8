from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from indexer.corpus.reader import open_corpus


@pytest.mark.parametrize(
    ("name", "documents", "title_only"),
    [("scifact", 5183, 0), ("cranfield", 1400, 0), ("cacm", 3204, 1617), ("npl_vaswani", 11429, 0)],
)
def test_beir_folder(
    read: Any, shared_data: Path, name: str, documents: int, title_only: int
) -> None:
    result = read(shared_data / name)
    assert len(result.records) == documents
    assert result.rejects == []
    assert result.corpus.counts.title_only == title_only
    assert result.corpus.bytes_read == result.corpus.bytes_total
    shown = result.corpus.description.render()
    assert "BEIR corpus" in shown
    assert "queries.jsonl.gz" in shown


def test_metadata_of_a_collection(shared_data: Path) -> None:
    corpus = open_corpus(shared_data / "wordnet_synsets")
    assert {name: str(kind) for name, kind in corpus.types.items()} == {
        "pos": "keyword",
        "lex": "keyword",
        "hypernym": "keywords",
    }
    record = next(itertools.islice(corpus, 5000, None))
    assert record.line == 5001
    assert isinstance(record.document.metadata["hypernym"], tuple)
