"""A writer that fails leaves the last generation and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from encoders.base import Document
from indexer import builder, generation
from indexer.builder import add_documents, build, build_index, delete_documents
from indexer.configuration import configure_part
from indexer.corpus.records import CorpusRecord, Reject, RejectLog, RejectReason
from indexer.errors import CorpusError, IncompatibleIndexError, IndexCorruptError
from indexer.format.manifest import read_manifest, serialise
from indexer.format.segment import Segment
from indexer.spaces import create_spaces
from indexer.verification import verify
from retriever.searcher import open_index


class DiskFullError(OSError):
    """Stands for whatever may go wrong while documents are read."""


def good() -> Iterator[Document]:
    return (Document(f"d{i}", "wheat and rye " * 9, metadata={"n": i}) for i in range(50))


def failing(error: type[BaseException]) -> Iterator[Document]:
    yield from good()
    raise error


def files(index: Path) -> set[str]:
    return {str(path.relative_to(index)) for path in index.rglob("*") if path.is_file()}


@pytest.mark.parametrize("error", [DiskFullError, KeyboardInterrupt, MemoryError])
def test_a_first_build_that_fails_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        build(failing(error), tmp_path / "new" / "deep" / "index", "english-bm25")
    assert list(tmp_path.iterdir()) == []
    build(good(), tmp_path / "new" / "deep" / "index", "english-bm25")


def test_a_failed_build_keeps_what_others_put_there(tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "beside.txt").write_text("mine")
    with pytest.raises(DiskFullError):
        build(failing(DiskFullError), tmp_path / "index", "english-bm25")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["beside.txt", "index"]


@pytest.mark.parametrize("error", [DiskFullError, KeyboardInterrupt])
def test_a_change_that_fails_leaves_the_last_generation(tmp_path, monkeypatch, error):
    index = tmp_path / "index"
    build(good(), index, "english-bm25")
    before, manifest = files(index), read_manifest(index)

    def raise_error(*_: object, **__: object) -> None:
        raise error

    def records() -> Iterator[CorpusRecord]:
        return (CorpusRecord(document, "-", None) for document in failing(error))

    changes: list[Callable[[], object]] = [
        lambda: build(failing(error), index, "english-bm25", overwrite=True),
        lambda: add_documents(index, records(), replace=True),
    ]
    monkeypatch.setattr(builder, "commit_manifest", raise_error)
    changes.append(lambda: delete_documents(index, ["d1"]))
    monkeypatch.setattr(generation, "commit_manifest", raise_error)
    changes.append(lambda: build(good(), index, "english-bm25", overwrite=True))
    monkeypatch.setattr("indexer.configuration.commit_manifest", raise_error)
    changes.append(lambda: configure_part(index, None, None, weight=2.0))
    for change in changes:
        with pytest.raises(error):
            change()
        assert files(index) == before
        assert read_manifest(index) == manifest
    assert verify(index).problems == ()
    assert len(open_index(index).search("wheat", 100).hits) == 50


def test_a_failure_after_the_commit_keeps_the_new_generation(tmp_path, monkeypatch):
    index = tmp_path / "index"
    build(good(), index, "english-bm25")

    def raise_error(*_: object) -> None:
        raise DiskFullError

    monkeypatch.setattr(Segment, "warm_up", raise_error)
    with pytest.raises(DiskFullError):
        build([Document("new", "barley")], index, "english-bm25", overwrite=True)
    assert verify(index).problems == ()
    assert [hit.doc_id for hit in open_index(index).search("barley").hits] == ["new"]


def test_a_strict_log_stops_before_anything_is_written(tmp_path):
    rejects = RejectLog(strict=True)

    def records() -> Iterator[CorpusRecord]:
        yield CorpusRecord(Document("a", "wheat"), "x.jsonl", 1)
        rejects.add(Reject("x.jsonl", 2, RejectReason.UNPARSABLE, "not JSON"))

    with pytest.raises(CorpusError, match=r"x\.jsonl:2"):
        build_index(
            records(), tmp_path / "i", create_spaces({"default": "plain-bm25"}), rejects=rejects
        )
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize("damage", ["corrupt", "older"])
def test_a_broken_index_can_be_overwritten(tmp_path, damage):
    """The error says "build the index again": that has to work."""
    index = tmp_path / "index"
    build(good(), index, "english-bm25")
    delete_documents(index, ["d1"])
    manifest = index / "manifest.json"
    if damage == "corrupt":
        manifest.write_bytes(manifest.read_bytes()[:-9])
    else:
        set_version(index, "0.0")
    with pytest.raises(IndexCorruptError if damage == "corrupt" else IncompatibleIndexError):
        open_index(index)
    with pytest.raises(DiskFullError):
        build(failing(DiskFullError), index, "english-bm25", overwrite=True)
    report = build([Document("new", "barley")], index, "english-bm25", overwrite=True)
    assert report.generation > 1  # the number is not used twice for segments that a reader holds
    assert verify(index).problems == ()
    assert len({path.parts[0] for path in map(Path, files(index))}) == 3
    named = {segment.name for segment in read_manifest(index).segments}
    assert {path.name for path in (index / "segments").iterdir()} == named


def test_another_format_version_is_refused_with_the_remedy(tmp_path):
    build(good(), tmp_path / "index", "english-bm25")
    set_version(tmp_path / "index", "9.9")
    with pytest.raises(IncompatibleIndexError, match=r"format 9\.9.*Build the index again"):
        open_index(tmp_path / "index")


def set_version(index: Path, version: str) -> None:
    other = read_manifest(index).model_copy(update={"version": version})
    (index / "manifest.json").write_bytes(serialise(other))
