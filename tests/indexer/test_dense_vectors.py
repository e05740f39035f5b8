"""Vectors of a network in an index: built, resumed, added to, refused, described."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from encoders.base import Document  # noqa: E402
from encoders.dense_vectors import DenseVectors  # noqa: E402
from encoders.errors import CheckpointError  # noqa: E402
from eval.sample_index import build_sample  # noqa: E402
from indexer.builder import add_documents, build, build_index  # noqa: E402
from indexer.corpus.records import CorpusRecord  # noqa: E402
from indexer.encoding import encoding_directory  # noqa: E402
from indexer.errors import IndexerError, UnfinishedBuildError  # noqa: E402
from indexer.format.manifest import read_manifest  # noqa: E402
from indexer.format.segment import Segment  # noqa: E402
from indexer.inspection import bytes_by_purpose, render  # noqa: E402
from indexer.merge import merge_segments  # noqa: E402
from indexer.spaces import create_spaces, weight_to_configure  # noqa: E402
from indexer.verification import verify  # noqa: E402
from retriever.searcher import open_index  # noqa: E402
from retriever.snapshot import open_snapshot  # noqa: E402

DOCUMENTS = [
    Document("a", "red planet weather"),
    Document("b", "rain in new york", title="Weather"),
    Document("c", ""),
    Document("d", "a table of query weights"),
]


@pytest.fixture(autouse=True)
def shipped(monkeypatch, dense_directory: Path) -> None:
    """A small table in the place of the one that comes with Winnow."""
    monkeypatch.setattr("encoders.shipped.SHIPPED_VECTORS", dense_directory)


@pytest.fixture
def encoder(tmp_path, sentence_encoder: Path) -> Path:
    return Path(shutil.copytree(sentence_encoder, tmp_path / "encoder"))


@pytest.fixture
def index(tmp_path, encoder: Path) -> Path:
    build(DOCUMENTS, tmp_path / "index", "english-bm25", vectors=f"minilm:{encoder}")
    return tmp_path / "index"


def stored(index: Path) -> dict[str, list[int]]:
    manifest = read_manifest(index)
    found = {}
    for entry in manifest.segments:
        segment = Segment(index, entry, manifest.spaces)
        for row in range(entry.row_count):
            found[segment.doc_ids[segment.document_of(row)]] = segment.vectors[row].tolist()
    return found


def expected(dense_directory: Path, encoder: Path, documents: list[Document]) -> dict:
    vectors = DenseVectors.read(dense_directory, encoder, "minilm").document_vectors(documents)
    return {d.doc_id: v for d, v in zip(documents, vectors.tolist(), strict=True)}


def near(found: dict, wanted: dict) -> bool:
    """Products of other batches round in other places."""
    assert found.keys() == wanted.keys()
    return all(np.abs(np.subtract(found[key], wanted[key])).max() <= 1 for key in found)


def test_passages_have_the_network_s_vectors(index, dense_directory, encoder):
    assert near(stored(index), expected(dense_directory, encoder, DOCUMENTS))
    assert stored(index)["c"] == [0] * 16
    entry = read_manifest(index).rerank
    assert (entry.weight, entry.depth, entry.argument) == (4.0, 5, f"minilm:{encoder}")
    assert verify(index).problems == ()


def test_searches_need_neither_network_nor_torch(index, encoder):
    shutil.rmtree(encoder)
    program = (
        "import sys\n"
        "from retriever.searcher import open_index\n"
        f"hits = open_index({str(index)!r}).search('new planet weather').hits\n"
        "assert len(hits) == 2\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_additions_and_merges(index, dense_directory, encoder):
    more = [Document("e", "another planet"), Document("f", "a model of rain")]
    report = add_documents(index, more)
    assert report.vector_encoding.passages == 2
    wanted = expected(dense_directory, encoder, [*DOCUMENTS, *more])
    assert near(stored(index), wanted)
    merge_segments(index)
    assert near(stored(index), wanted)


def test_a_network_that_has_changed_or_gone_is_told(index, encoder):
    configuration = encoder / "config.json"
    configuration.write_text(configuration.read_text() + " ")
    with pytest.raises(IndexerError, match=r"vectors of a small network .* differ from those that"):
        add_documents(index, [Document("x", "planet")])
    shutil.rmtree(encoder)
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        add_documents(index, [Document("x", "planet")])


class Power(Exception):
    """It is off."""


def records(count: int, *, fails_at: int | None = None) -> Iterator[CorpusRecord]:
    for number in range(count):
        if number == fails_at:
            raise Power
        yield CorpusRecord(Document(str(number), f"planet number {number}"), "corpus.jsonl", number)


def build_records(output: Path, vectors: str, **options: object) -> object:
    fails_at = options.pop("fails_at", None)
    spaces = create_spaces({"default": "english-bm25"})
    found = records(40, fails_at=fails_at)
    return build_index(found, output, spaces, vectors=vectors, **options)


def test_a_build_that_did_not_end_goes_on(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr("indexer.generation.BATCH_DOCUMENTS", 10)
    output, vectors = tmp_path / "index", f"minilm:{encoder}"
    with pytest.raises(Power):
        build_records(output, vectors, fails_at=35)
    assert len(list(encoding_directory(output).glob("*.npz"))) == 3
    with pytest.raises(UnfinishedBuildError, match="--resume"):
        build_records(output, vectors)
    with pytest.raises(UnfinishedBuildError, match="vectors"):
        build_records(output, "static", resume=True)
    report = build_records(output, vectors, resume=True)
    assert (report.vector_encoding.found, report.vector_encoding.passages) == (30, 10)
    assert "30 passages were encoded before" in report.render()
    assert not encoding_directory(output).exists()
    build_records(tmp_path / "whole", vectors)
    assert stored(output) == stored(tmp_path / "whole")


def test_a_damaged_file_of_vectors_is_written_again(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr("indexer.generation.BATCH_DOCUMENTS", 10)
    output, vectors = tmp_path / "index", f"minilm:{encoder}"
    with pytest.raises(Power):
        build_records(output, vectors, fails_at=35)
    first, second, _ = sorted(encoding_directory(output).glob("*.npz"))
    first.write_bytes(first.read_bytes()[:100])
    with second.open("wb") as file:
        np.savez(file, vectors=np.zeros((10, 3), np.int8))
    report = build_records(output, vectors, resume=True)
    assert report.vector_encoding.found == 10
    build_records(tmp_path / "whole", vectors)
    assert stored(output) == stored(tmp_path / "whole")


def test_an_index_says_what_its_vectors_are(index):
    manifest = read_manifest(index)
    assert "re-ranked by vectors of all-MiniLM-L6-v2 of 16 dimensions: weight 4" in render(
        index, manifest
    )
    assert bytes_by_purpose(manifest)["vectors of all-MiniLM-L6-v2"] >= 4 * 16
    with open_index(index) as searcher:
        rerank = searcher.description().rerank
        assert rerank.vectors.startswith("minilm:")
        assert rerank.short_name == "minilm"


def test_its_weight_is_configured_if_it_is_not_that_of_a_build(index, encoder):
    entry = read_manifest(index).rerank
    shutil.rmtree(encoder)  # which has no part in it
    assert weight_to_configure(entry, 4.0) is None
    assert weight_to_configure(entry, 5.0) == 5.0


def test_a_sample_of_an_index_has_such_vectors(index, tmp_path, dense_directory, encoder):
    """As ``adapt`` builds it to try other weights."""
    sample = tmp_path / "sample"
    build_sample(open_snapshot(index), "default", DOCUMENTS[:2], sample)
    assert near(stored(sample), expected(dense_directory, encoder, DOCUMENTS[:2]))


def test_the_command_line(indexer, tmp_path, encoder):
    lines = [json.dumps({"id": d.doc_id, "text": d.text, "title": d.title}) for d in DOCUMENTS]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(lines))
    options = ("--encoder", "english-bm25", "--vectors")
    refused = indexer("build", corpus, *options, f"minilm:{tmp_path / 'nothing'}")
    assert refused.code == 1
    assert "'minilm' (documents are read by all-MiniLM-L6-v2)" in refused.error
    built = indexer("build", corpus, *options, f"minilm:{encoder}")
    assert built.code == 0
    assert "vectors of all-MiniLM-L6-v2 rank the first 5 of a search again" in built.stdout
    assert "    encoded 4 passages in" in built.stdout
