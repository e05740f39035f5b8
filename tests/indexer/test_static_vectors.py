"""Static vectors in an index: built, added, merged, configured, and refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document
from encoders.errors import CheckpointError
from encoders.static_vectors import StaticVectors, write_static_vectors
from indexer.builder import add_documents, build, delete_documents
from indexer.configuration import configure_part, configure_rerank
from indexer.errors import IndexCorruptError, IndexerError
from indexer.format.manifest import FORMAT_VERSION, read_manifest
from indexer.format.segment import Segment
from indexer.format.vectors import VECTORS_NAME
from indexer.inspection import bytes_by_purpose, render
from indexer.merge import merge_segments
from indexer.verification import verify
from retriever.searcher import open_index

DOCUMENTS = [
    Document("a", "red planet weather"),
    Document("b", "rain in new york", title="Weather"),
    Document("c", ""),
    Document("d", "a table of query weights"),
]


@pytest.fixture
def index(tmp_path, vectors_directory) -> Path:
    build(DOCUMENTS, tmp_path / "index", "english-bm25", vectors=str(vectors_directory))
    return tmp_path / "index"


def stored(index: Path) -> dict[str, list[int]]:
    """Vectors of live documents, by id; each is one passage here."""
    manifest = read_manifest(index)
    found = {}
    for entry in manifest.segments:
        segment = Segment(index, entry, manifest.spaces)
        for row in range(entry.row_count):
            number = segment.document_of(row)
            if segment.is_alive(number):
                found[segment.doc_ids[number]] = segment.vectors[row].tolist()
    return found


def expected(directory: Path, documents: list[Document]) -> dict[str, list[int]]:
    vectors = StaticVectors.read(directory).document_vectors(documents)
    return {d.doc_id: v for d, v in zip(documents, vectors.tolist(), strict=True)}


def test_every_passage_has_its_vector(index, vectors_directory):
    assert stored(index) == expected(vectors_directory, DOCUMENTS)
    assert stored(index)["c"] == [0] * 16
    assert verify(index).problems == ()
    assert not list(index.rglob("draft*"))


@pytest.mark.parametrize("order", ["arrival", "bisected"])
def test_additions_and_merges_keep_the_vectors(index, vectors_directory, order):
    more = [Document(f"m{number}", f"planet number {number}") for number in range(30)]
    add_documents(index, more)
    delete_documents(index, ["b", "m3"])
    report = add_documents(index, [Document("a", "another text of this id")], replace=True)
    assert report.replaced == 1
    kept = [Document("a", "another text of this id"), *DOCUMENTS[2:], *more[:3], *more[4:]]
    assert stored(index) == expected(vectors_directory, kept)
    merge_segments(index, order=order)
    assert len(read_manifest(index).segments) == 1
    assert stored(index) == expected(vectors_directory, kept)
    assert verify(index).problems == ()
    delete_documents(index, [document.doc_id for document in kept])
    merge_segments(index)
    assert read_manifest(index).segments == ()
    add_documents(index, DOCUMENTS)
    assert stored(index) == expected(vectors_directory, DOCUMENTS)


def test_an_empty_index_takes_documents_later(tmp_path, vectors_directory):
    build([], tmp_path / "index", "english-bm25", vectors=str(vectors_directory))
    with open_index(tmp_path / "index") as searcher:
        assert searcher.search("planet").hits == ()
    add_documents(tmp_path / "index", DOCUMENTS)
    assert stored(tmp_path / "index") == expected(vectors_directory, DOCUMENTS)


def test_no_vectors_unless_they_are_asked_for(tmp_path):
    build(DOCUMENTS, tmp_path / "index", "english-bm25")
    assert read_manifest(tmp_path / "index").rerank is None
    assert not list((tmp_path / "index").rglob(VECTORS_NAME))
    build(DOCUMENTS, tmp_path / "index", overwrite=True, vectors="none")
    assert read_manifest(tmp_path / "index").rerank is None


def test_a_table_that_has_changed_or_gone_is_told(index, vectors_directory, tmp_path):
    copy = shutil.copytree(vectors_directory, tmp_path / "copy")
    build(DOCUMENTS, tmp_path / "other", "english-bm25", vectors=str(copy))
    vectors = StaticVectors.read(copy)
    changed = dataclasses.replace(vectors.table, bias=2 * vectors.table.bias)
    write_static_vectors(copy, changed, vectors.config)
    with pytest.raises(IndexerError, match="differ from those that built this index"):
        add_documents(tmp_path / "other", [Document("x", "planet")])
    shutil.rmtree(copy)
    with pytest.raises(CheckpointError, match="no static vectors"):
        add_documents(tmp_path / "other", [Document("x", "planet")])
    with open_index(tmp_path / "other") as searcher:  # which needs nothing but the index
        assert searcher.search("planet").hits[0].doc_id == "a"
    with pytest.raises(CheckpointError, match="no static vectors"):
        build(DOCUMENTS, tmp_path / "third", "english-bm25", vectors=str(copy))
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[:-1],
        lambda array: array[:, :-1],
        lambda array: array.astype(np.int16),
    ],
)
def test_vectors_that_do_not_fit_are_told(index, change):
    """With sizes and checksums that fit, so that the content itself is looked at."""
    manifest = read_manifest(index)
    [entry] = manifest.segments
    path = index / "segments" / entry.name / VECTORS_NAME
    changed = change(np.load(path))
    np.save(path, changed)
    (index / "manifest.json").write_bytes(_resealed(index, entry.name, path))
    with pytest.raises(IndexCorruptError):
        open_index(index)


def _resealed(index: Path, segment: str, path: Path) -> bytes:
    from indexer.format.commit import describe_file
    from indexer.format.manifest import serialise

    manifest = read_manifest(index)
    [entry] = manifest.segments
    files = {**entry.files, path.name: describe_file(path)}
    return serialise(
        manifest.model_copy(update={"segments": (entry.model_copy(update={"files": files}),)})
    )


def test_the_weight_can_be_changed(index, tmp_path):
    with open_index(index) as searcher:
        heavier = searcher.search("weather", rerank=50.0).hits
    assert configure_rerank(index, 50.0).weight == 50
    configure_part(index, None, None, weight=1.0)
    with open_index(index) as searcher:
        assert searcher.search("weather").hits == heavier
        assert searcher.description().rerank.weight == 50
    for weight in (0, -1.0, float("nan"), 1e12):
        with pytest.raises(IndexerError, match="must be above 0"):
            configure_rerank(index, weight)
    build(DOCUMENTS, tmp_path / "plain", "english-bm25")
    with pytest.raises(IndexerError, match="no static vectors"):
        configure_rerank(tmp_path / "plain", 3.0)


def test_bytes_are_told(index):
    manifest = read_manifest(index)
    assert manifest.version == FORMAT_VERSION
    assert bytes_by_purpose(manifest)["static vectors"] >= 4 * 16
    text = render(index, manifest)
    assert "the first 8 documents re-ranked by static vectors of 16 dimensions: weight 3" in text


def test_the_command_line(indexer, tmp_path, vectors_directory):
    lines = [json.dumps({"id": d.doc_id, "text": d.text, "title": d.title}) for d in DOCUMENTS]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(lines))
    path = tmp_path / "corpus.jsonl.winnow"
    built = indexer("build", corpus, "--encoder", "english-bm25", "--vectors", vectors_directory)
    assert built.code == 0
    assert "static vectors rank the first 8 of a search again" in built.stdout
    assert read_manifest(path).rerank.argument == str(vectors_directory)
    ranked = indexer("search", path, "weather", "--json").stdout
    plain = indexer("search", path, "weather", "--json", "--rerank", "0").stdout
    assert ranked != plain
    explained = indexer("search", path, "weather", "--explain").stdout
    assert "(rerank" in explained
    assert "matched: weather\n" in indexer("search", path, "weather").stdout
    changed = indexer("configure", path, "--rerank", "7")
    assert changed.stdout == "static vectors: weight 7\n"
    for other in (("--weight", "1"), ("--space", "default"), ("--part", "english-bm25")):
        assert indexer("configure", path, "--rerank", "7", *other).code == 2
    assert (
        "without the other options"
        in indexer("configure", path, "--rerank", "7", "--weight", "1").stderr
    )
    assert indexer("search", path, "weather", "--rerank", "-1").code == 2
    again = indexer("build", corpus, "--overwrite", "--vectors", tmp_path / "nothing")
    assert again.code == 1
    assert "no static vectors" in again.error
    assert "Vectors are 'static' (those that come with Winnow), 'minilm' (documents" in again.error
    assert "by all-MiniLM-L6-v2), 'none', or a directory of static vectors." in again.error
    without = indexer("build", corpus, "--overwrite", "--encoder", "bm25")
    assert without.code == 0
    refused = indexer("search", path, "weather", "--rerank", "3")
    assert (refused.code, "--vectors static" in refused.error) == (1, True)
