"""Readers keep the generation that they opened; one writer at a time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from encoders.base import Document
from indexer.builder import add_documents, build, delete_documents
from indexer.configuration import configure_part
from indexer.corpus.records import CorpusRecord
from indexer.errors import IndexerError, IndexLockedError
from indexer.format.commit import write_lock
from indexer.format.manifest import read_manifest
from indexer.merge import merge_segments
from indexer.verification import verify
from retriever.errors import DocumentNotFoundError
from retriever.searcher import Searcher, open_index

Change = Callable[[Path], object]


def documents(prefix: str, count: int = 30) -> list[Document]:
    """One long document, which is split, and short ones."""
    texts = ["wheat and rye. " * 400, *(f"wheat number {i}" for i in range(1, count))]
    return [
        Document(f"{prefix}{i}", text, title=f"Title {i}", metadata={"number": i})
        for i, text in enumerate(texts)
    ]


def records(prefix: str) -> list[CorpusRecord]:
    return [CorpusRecord(document, "-", None) for document in documents(prefix)]


CHANGES: dict[str, Change] = {
    "overwrite": lambda index: build(documents("new"), index, "english-bm25", overwrite=True),
    "add": lambda index: add_documents(index, records("new")),
    "replace": lambda index: add_documents(index, records("old"), replace=True),
    "delete": lambda index: delete_documents(index, ["old1", "old3"]),
    "merge": lambda index: merge_segments(index, order="bisected"),
    "configure": lambda index: configure_part(index, None, None, weight=3.0),
}


@pytest.fixture
def index(tmp_path) -> Path:
    build(documents("old"), tmp_path / "index", "english-bm25")
    delete_documents(tmp_path / "index", ["old2"])
    return tmp_path / "index"


def answers(searcher: Searcher) -> list[object]:
    """Everything that reads files, each of them for the first time."""
    options = {"explain": True, "highlight": True, "count_total": True}
    condition = {"field": "number", "lt": 20}
    results = searcher.search("wheat rye", 40, filter=condition, **options)
    read = [searcher.document(hit.doc_id) for hit in results.hits]
    return [results.hits, results.total, read, searcher.description(), searcher.generation]


@pytest.mark.parametrize("memory_map", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_a_searcher_keeps_its_generation_until_it_is_refreshed(index, change, memory_map):
    expected = answers(open_index(index))
    searcher = open_index(index, memory_map=memory_map)  # it reads no document before the change
    CHANGES[change](index)
    assert answers(searcher) == expected
    CHANGES["overwrite"](index)  # no file of the old generation is left
    assert answers(searcher) == expected
    assert searcher.refresh()
    assert searcher.generation == read_manifest(index).generation
    assert answers(searcher) == answers(open_index(index)) != expected
    assert not searcher.refresh()


def test_refreshing_shows_each_change(index):
    searcher = open_index(index)
    assert searcher.search("wheat", 100, count_total=True).total.value == 29
    CHANGES["add"](index)
    assert searcher.refresh()
    assert searcher.search("wheat", 100).total.value == 59
    score = searcher.search("wheat", 1).hits[0].score
    CHANGES["configure"](index)
    assert searcher.refresh()
    assert searcher.search("wheat", 1).hits[0].score == pytest.approx(3 * score, rel=1e-6)
    delete_documents(index, ["new5"])
    assert searcher.document("new5").text == "wheat number 5"
    assert searcher.refresh()
    with pytest.raises(DocumentNotFoundError):
        searcher.document("new5")


def test_an_index_that_went_away_is_served_as_it_was(index):
    searcher = open_index(index)
    expected = answers(searcher)
    shutil.rmtree(index)
    with pytest.raises(IndexerError):
        searcher.refresh()
    assert answers(searcher) == expected


def test_another_index_in_its_place_is_noticed(index, tmp_path):
    """Built beside and moved into place, as a deployment does, with the same generation number."""
    build(documents("new"), tmp_path / "next", "english-bm25")
    delete_documents(tmp_path / "next", ["new2"])
    searcher = open_index(index)
    index.rename(tmp_path / "last")
    (tmp_path / "next").rename(index)
    assert searcher.refresh()
    assert searcher.search("wheat").hits[0].doc_id.startswith("new")


def test_threads_search_while_the_index_changes(index):
    """Each answer belongs to one generation, whole; refreshing disturbs nobody."""
    searcher = open_index(index)
    stop = threading.Event()
    failures: list[object] = []

    def search() -> None:
        # The pause leaves the interpreter to the writer.
        while not stop.wait(0.005):
            try:
                results = searcher.search("wheat", 100, explain=True, highlight=True)
                prefixes = {hit.doc_id.rstrip("0123456789") for hit in results.hits}
                if prefixes not in ({"old"}, {"new"}) or len(results.hits) < 29:
                    failures.append(results)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(4):
        build(documents(["new", "old"][number % 2]), index, "english-bm25", overwrite=True)
        searcher.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert verify(index).problems == ()


OPEN_WITH_FEW_FILES = """
import resource, sys
from retriever.searcher import open_index
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), 4096))
try:
    print(len(open_index(sys.argv[1]).search("wheat", 100).hits))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def test_segments_keep_few_files_open(index):
    """An index grows by a segment with each addition, and a process may open 1,024 files."""
    for number in range(6):
        add_documents(index, records(f"more{number}_"))
    outputs = [
        subprocess.run(
            [sys.executable, "-c", OPEN_WITH_FEW_FILES, index, limit],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for limit in ("40", "14")
    ]
    assert outputs[0] == "100"
    assert outputs[1].startswith("IndexerError: ")
    assert "ulimit -n" in outputs[1]


HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from indexer.format.commit import write_lock
with write_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_one_is_gone(index, indexer, tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, index], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "locked\n"
        before = read_manifest(index)
        for change in CHANGES.values():
            with pytest.raises(IndexLockedError, match=rf'"pid": {writer.pid}\b'):
                change(index)
        answer = indexer("delete", index, "old1")
        assert answer.code == 1
        assert f'"pid": {writer.pid}' in answer.error
        assert len(answer.stderr.splitlines()) == 1
        assert open_index(index).search("wheat").hits  # readers need no lock
        assert read_manifest(index) == before
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    finally:
        writer.kill()
        writer.communicate()
    for change in CHANGES.values():
        change(index)
    assert verify(index).problems == ()


def test_a_writer_of_the_same_process_is_refused_too(index):
    with write_lock(index), pytest.raises(IndexLockedError, match=str(os.getpid())):
        delete_documents(index, ["old1"])
    assert delete_documents(index, ["old1"]).deleted == 1
