"""Small indexes that are made like another one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytestmark = pytest.mark.torch

from encoders.base import Document  # noqa: E402
from encoders.errors import EncoderError  # noqa: E402
from encoders.expression import PartExpression  # noqa: E402
from encoders.registry import create_encoder  # noqa: E402
from eval.sample_index import build_sample  # noqa: E402
from indexer.builder import build  # noqa: E402
from indexer.configuration import configure_part, configure_rerank  # noqa: E402
from indexer.format.manifest import Manifest, read_manifest  # noqa: E402
from indexer.settings import BuildSettings  # noqa: E402
from indexer.spaces import SpacePart  # noqa: E402
from retriever.searcher import open_index  # noqa: E402
from retriever.snapshot import open_snapshot  # noqa: E402

DOCUMENTS = [
    Document(f"d{number}", f"the {word} of rain number {number}. " * 9)
    for number, word in enumerate(["planet", "weather", "model", "index", "table", "query"] * 4)
]
QUERIES = ["the weather of the planet", "number 4 model", "rain table index"]


@pytest.fixture
def index(tmp_path: Path, write_masked_lm: Callable[..., Path], vectors_directory: Path) -> Path:
    """Passages, two parts with other weights than their expression's, static vectors."""
    expression = (
        f"2*english-bm25:b=0.3 + splade:{write_masked_lm(tmp_path / 'model')}?max_length=20"
    )
    output = tmp_path / "x.winnow"
    settings = BuildSettings(passage_tokens=16, order="bisected")
    build(DOCUMENTS, output, expression, settings=settings, vectors=str(vectors_directory))
    configure_part(output, None, "splade", weight=0.7)
    configure_rerank(output, 0.25)
    return output


def sample(index: Path, **options: object) -> Path:
    output = index.with_name("sample.winnow")
    build_sample(open_snapshot(index), "default", DOCUMENTS, output, **options)
    return output


def answers(index: Path) -> list[list[tuple[str, float]]]:
    with open_index(index) as searcher:
        found = searcher.search_batch(QUERIES, 10)
    return [[(hit.doc_id, hit.score) for hit in results.hits] for results in found]


def what_decides(manifest: Manifest) -> list[object]:
    rerank = manifest.rerank
    assert rerank is not None
    return [
        [(part.name, part.weight, part.encoder, part.query.table) for part in space.parts]
        for space in manifest.spaces.values()
    ] + [rerank.content_hash, rerank.weight, rerank.depth]


@pytest.mark.parametrize("table", ["as built", "content-idf", "a file"])
def test_a_sample_of_all_documents_answers_as_the_index(
    table: str, index: Path, tmp_path: Path
) -> None:
    if table == "a file":
        (tmp_path / "idf.json").write_text('{"weather": 2.5, "rain": 0.5, "model": 4}')
    if table != "as built":
        path = str(tmp_path / "idf.json") if table == "a file" else table
        configure_part(index, None, "splade", query_table=path)
    output = sample(index)
    assert answers(output) == answers(index)
    ours, theirs = read_manifest(output), read_manifest(index)
    assert what_decides(ours) == what_decides(theirs)
    assert [s.row_count for s in ours.segments] == [s.row_count for s in theirs.segments]


def test_statistics_are_those_of_the_documents(index: Path) -> None:
    output = index.with_name("sample.winnow")
    build_sample(open_snapshot(index), "default", [Document("a", "one two three")], output)
    lengths = [
        read_manifest(each).spaces["default"].parts[0].encoder.parameters
        for each in (output, index)
    ]
    assert lengths[0]["average_length"] == 3
    assert lengths[0]["b"] == lengths[1]["b"] == 0.3


def test_another_part_stands_in_the_place_of_one(
    index: Path, tmp_path: Path, write_masked_lm: Callable[..., Path]
) -> None:
    configure_part(index, None, "splade", query_table="content-idf")
    other = f"{write_masked_lm(tmp_path / 'other')}?max_length=20"
    part = SpacePart(
        PartExpression(3.0, "splade", other, "splade"), create_encoder("splade", other)
    )
    [words, learned] = (
        read_manifest(sample(index, instead={"splade": part})).spaces["default"].parts
    )
    assert words.weight == 2
    assert (learned.weight, learned.encoder.argument) == (3.0, other)
    assert learned.query.table == "corpus-idf"  # its own


def test_a_model_that_has_changed_is_refused(index: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "model" / "model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file(tensors | {name: np.ascontiguousarray(tensors[name] * 1.5)}, path)
    with pytest.raises(EncoderError, match="not the checkpoint that was recorded"):
        sample(index)


def test_vectors_that_have_gone_are_refused(
    index: Path, tmp_path: Path, vectors_directory: Path
) -> None:
    moved = tmp_path / "vectors"
    shutil.copytree(vectors_directory, moved)
    build(DOCUMENTS, index, "english-bm25", vectors=str(moved), overwrite=True)
    shutil.rmtree(moved)
    with pytest.raises(EncoderError):
        sample(index)
