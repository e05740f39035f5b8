"""Killing the builder at any instant leaves the previous generation searchable and whole."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import traceback
from pathlib import Path

import pytest

from encoders.base import Document
from indexer.builder import add_documents, build, delete_documents
from indexer.corpus.records import CorpusRecord
from indexer.verification import verify
from retriever.searcher import open_index

KILLS = 50


@pytest.mark.crash
@pytest.mark.timeout(280)
def test_sigkill_at_random_instants(tmp_path):
    index = tmp_path / "index"
    build((Document(f"old{i}", f"old chaff number {i}") for i in range(50)), index, "english-bm25")
    delete_documents(index, ["old7"])
    before = [(hit.doc_id, hit.score) for hit in open_index(index).search("chaff", 100).hits]
    assert len(before) == 49

    whole = _run(index, "add", None)  # how long a run takes when nobody kills it
    assert whole is not None
    rng = random.Random(20)
    killed = 0
    for number in range(4 * KILLS):
        last = open_index(index).generation
        # Late instants matter most: that is where files are sealed and the manifest replaced.
        fraction = rng.random() if number % 2 else 1 - 0.3 * rng.random() ** 2
        seconds = _run(index, "add" if number % 3 else "build", fraction * whole)
        if seconds is None:
            killed += 1
        else:
            whole = min(whole, seconds)
        assert verify(index).problems == ()
        searcher = open_index(index)
        finished = seconds is not None
        assert searcher.generation in ((last + 1,) if finished else (last, last + 1))
        hits = searcher.search("wheat chaff", 10).hits
        assert len(hits) == 10
        assert all(searcher.document(hit.doc_id).text for hit in hits)
        if killed == KILLS:
            break
    assert killed == KILLS
    _run(index, "build", None)
    leftovers = {path.name for path in (index / "segments").iterdir()}
    manifest = json.loads((index / "manifest.json").read_text())
    assert leftovers == {segment["name"] for segment in manifest["segments"]}


def _write(index: Path, mode: str) -> None:
    documents = (
        Document(f"new{i}", f"fresh wheat number {i} " * 20, metadata={"n": i}) for i in range(1500)
    )
    if mode == "add":
        add_documents(index, (CorpusRecord(d, "-", None) for d in documents), replace=True)
    else:
        build(documents, index, "english-bm25", overwrite=True)


def _run(index: Path, mode: str, seconds: float | None) -> float | None:
    """Seconds that a forked writer took; ``None`` if it was killed before its end."""
    begin = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            _write(index, mode)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    assert os.WEXITSTATUS(status) == 0
    return time.perf_counter() - begin
