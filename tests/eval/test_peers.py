"""Peers in their own processes: real engines on a small collection."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from encoders.base import Document
from eval.datasets.beir import Dataset, open_dataset
from eval.errors import PeerAbsentError, SystemFailedError
from eval.measures import evaluate, parse_measures
from eval.peers import lucene
from eval.peers.process import PeerSystem

DOCUMENTS = [
    Document("d1", "The dogs are running fast, and far.", title="Dogs"),
    Document("d2", "A cat sleeps."),
    Document("d3", ""),
    Document("d 4", "naïve running", title="Über"),
]
QUERIES = {
    "runner": "run",
    "operators": 'DOG AND NOT (cat: "x" -y) [a TO b] *~^',
    "accent": "naïve",
    "empty": "",
    "stop words": "the and a",
    "unknown": "zebra",
}


class SmallDataset(Dataset):
    """Documents from memory."""

    def documents(self):
        return iter(DOCUMENTS)


DATASET = SmallDataset("small", Path("small"), "test", QUERIES, {q: {"d1": 1} for q in QUERIES})


def search(peer: str, k: int = 10) -> dict[str, list[str]]:
    system = PeerSystem(peer)
    try:
        system.prepare(DATASET)
        run = system.search(QUERIES, k)
    finally:
        system.close()
    described = system.description()
    assert described.build_seconds is not None
    assert described.search_seconds is not None
    assert described.versions
    assert set(run) == set(QUERIES)
    for ranking in run.values():
        scores = [score for _, score in ranking]
        assert scores == sorted(scores, reverse=True)
        assert all(score > 0 for score in scores)
    return {query_id: [doc_id for doc_id, _ in ranking] for query_id, ranking in run.items()}


def needs(name: str) -> None:
    variable = f"WINNOW_{name.upper()}_PYTHON"
    module = "pyserini" if name == "lucene" else name
    if importlib.util.find_spec(module) is None and not os.environ.get(variable):
        pytest.skip(f"{module} is not installed here and {variable} is not set")


@pytest.mark.parametrize("peer", ["bm25s", "tantivy", "lucene"])
def test_peer_answers_queries_of_all_kinds(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(peer)
    # Compiling the kernel of bm25s would take longer than all other tests here.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    found = search(peer, k=1000)  # more than there are documents
    assert found["runner"] == ["d 4", "d1"]  # the shorter document first
    assert {"d1", "d2"} <= set(found["operators"])
    assert found["accent"] == ["d 4"]
    assert found["empty"] == found["unknown"] == []
    # tantivy's en_stem keeps stop words
    assert found["stop words"] == (["d1", "d2"] if peer == "tantivy" else [])


def test_tantivy_respects_k() -> None:
    needs("tantivy")
    assert search("tantivy", k=1)["runner"] == ["d 4"]


def test_tantivy_on_a_real_collection(shared_data: Path) -> None:
    """0.4655 was measured with tantivy 0.27."""
    needs("tantivy")
    dataset, system = open_dataset(shared_data / "cacm"), PeerSystem("tantivy")
    system.prepare(dataset)
    run = system.search(dataset.queries, 1000)
    system.close()
    means = evaluate(dataset.qrels, run, parse_measures(["nDCG@10"])).means
    assert means["nDCG@10"] == pytest.approx(0.4655, abs=0.003)


@pytest.mark.parametrize("peer", ["bm25s", "tantivy", "lucene"])
def test_a_peer_that_is_not_installed_says_how_to_install_it(
    peer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"  # an interpreter without any installed package
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setenv(f"WINNOW_{peer.upper()}_PYTHON", str(bare))
    with pytest.raises(PeerAbsentError, match=r"not installed in .*, to install: pip install"):
        search(peer)


def test_an_interpreter_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_TANTIVY_PYTHON", "/nowhere/python")
    with pytest.raises(PeerAbsentError, match=r"/nowhere/python.*WINNOW_TANTIVY_PYTHON"):
        search("tantivy")


def test_a_peer_that_breaks_off_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho out of luck >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setenv("WINNOW_BM25S_PYTHON", str(broken))
    with pytest.raises(SystemFailedError, match="bm25s ended with status 7: out of luck"):
        search("bm25s")


def write_jdk(home: Path, version: str) -> Path:
    home.mkdir(parents=True)
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return home


def test_java_home_is_taken_only_if_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = write_jdk(tmp_path / "new", "21.0.2"), write_jdk(tmp_path / "old", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(new))
    assert lucene.find_java_home() == new
    monkeypatch.setenv("JAVA_HOME", str(old))
    assert lucene.find_java_home() != old
    assert lucene.java_version(old) == "17.0.15"
    assert lucene.java_version(tmp_path) == ""
