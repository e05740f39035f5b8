"""A corpus read whole, with its rejects read back from the rejects file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from encoders.base import Document
from indexer.corpus.reader import Corpus, CorpusOptions, open_corpus
from indexer.corpus.records import CorpusRecord, RejectLog


@dataclass
class ReadCorpus:
    corpus: Corpus
    records: list[CorpusRecord]
    rejects: list[dict[str, Any]]
    log: RejectLog

    @property
    def documents(self) -> list[Document]:
        return [record.document for record in self.records]

    @property
    def ids(self) -> list[str]:
        return [document.doc_id for document in self.documents]

    @property
    def reasons(self) -> list[str]:
        return [reject["reason"] for reject in self.rejects]


ReadFunction = Callable[..., ReadCorpus]


@pytest.fixture
def read(tmp_path_factory: pytest.TempPathFactory) -> ReadFunction:
    """Reads a corpus: ``read(source, **options of CorpusOptions)``."""

    def read_corpus(source: str | Path, **options: Any) -> ReadCorpus:
        path = tmp_path_factory.mktemp("rejects") / "rejects.jsonl"
        with RejectLog(path, keep=10_000) as log:
            corpus = open_corpus(source, CorpusOptions(**options), log)
            records = list(corpus)
        rejects = [json.loads(line) for line in path.read_text().splitlines()] if log.total else []
        counts = corpus.counts
        assert counts.read == counts.accepted + counts.rejected
        assert counts.accepted == len(records)
        assert counts.rejected == len(rejects) == log.total
        assert path.exists() == bool(rejects)
        return ReadCorpus(corpus, records, rejects, log)

    return read_corpus
