"""Documents that are added to an index are read to the length that it was built with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from encoders.base import Document
from indexer.builder import add_documents, build
from indexer.errors import IndexerError
from indexer.format.commit import commit_manifest
from indexer.format.manifest import read_manifest
from indexer.settings import BuildSettings
from indexer.spaces import reopen_spaces
from retriever.searcher import open_index

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

LIMIT = 24
TEXTS = ["mars", "red planet", "red planet mars weather now rain new york query " * 2]


def documents(prefix: str) -> list[Document]:
    return [Document(f"{prefix}{number}", text) for number, text in enumerate(TEXTS)]


@pytest.fixture
def checkpoint(write_masked_lm, tmp_path) -> Path:
    return write_masked_lm(tmp_path / "checkpoint")


@pytest.fixture
def index(checkpoint, tmp_path) -> Path:
    settings = BuildSettings(split=False)
    expression = f"splade:{checkpoint}"
    build(documents("built"), tmp_path / "index", expression, settings=settings)
    return tmp_path / "index"


def shorten(checkpoint: Path, file: str, key: str) -> None:
    path = checkpoint / file
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | {key: 8}))


def forget_limit(index: Path) -> None:
    """Makes the index one of an older version, which recorded no limit among the parameters."""
    manifest = read_manifest(index)
    [part] = manifest.spaces["default"].parts
    parameters = {k: v for k, v in part.encoder.parameters.items() if k != "max_length"}
    assert len(parameters) < len(part.encoder.parameters)
    encoder = part.encoder.model_copy(update={"parameters": parameters})
    space = manifest.spaces["default"].model_copy(
        update={"parts": (part.model_copy(update={"encoder": encoder}),)}
    )
    commit_manifest(index, manifest.model_copy(update={"spaces": {"default": space}}))


FILES = [
    ("tokenizer_config.json", "model_max_length"),
    ("sentence_bert_config.json", "max_seq_length"),
]


@pytest.mark.parametrize(("file", "key"), FILES)
def test_the_recorded_limit_holds(checkpoint, index, file, key):
    shorten(checkpoint, file, key)
    [part] = reopen_spaces(read_manifest(index).spaces)["default"]
    assert part.encoder.spec.max_length == part.encoder.spec.parameters["max_length"] == LIMIT
    add_documents(index, documents("added"))
    with open_index(index) as searcher:
        scores = {hit.doc_id: hit.score for hit in searcher.search("weather in new york", 9).hits}
    # Past the eighth token, where the changed file would have ended the text.
    assert scores["built2"] == scores["added2"]


@pytest.mark.parametrize(("file", "key"), FILES)
def test_an_older_index_is_compared_with_the_files(checkpoint, index, file, key):
    forget_limit(index)
    assert add_documents(index, documents("added")).documents == len(TEXTS)
    forget_limit(index)
    shorten(checkpoint, file, key)
    with pytest.raises(IndexerError, match=r"reads 8 tokens of a text, and read 24 tokens when"):
        add_documents(index, documents("more"))


def test_every_digit_of_the_pruning_is_recorded(checkpoint, tmp_path):
    prune = "max_ratio:0.123456789012"
    build(documents("a"), tmp_path / "pruned", encoder=f"splade:{checkpoint}?prune={prune}")
    [part] = reopen_spaces(read_manifest(tmp_path / "pruned").spaces)["default"]
    assert part.encoder.spec.parameters["prune"] == prune
    assert part.encoder.pruning.value == 0.123456789012
