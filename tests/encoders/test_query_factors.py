"""Trained factors of query weights stand in the documents' rows, before pruning."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document
from encoders.errors import CheckpointError

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra to load a checkpoint")
pytest.importorskip("transformers", reason="needs the [encode] extra to load a checkpoint")

from encoders.onnx_export import export_encoder  # noqa: E402
from encoders.query_factors import QUERY_FACTORS  # noqa: E402
from encoders.registry import create_encoder  # noqa: E402

DOCUMENTS = [
    Document(str(number), text)
    for number, text in enumerate(["red planets of new york", "", "a model of words, dense"])
]


@pytest.fixture(scope="module")
def plain(write_router, tmp_path_factory) -> Path:
    return write_router(tmp_path_factory.mktemp("plain"), activation="log1p_relu")


@pytest.fixture
def trained(plain: Path, tmp_path: Path) -> Path:
    shutil.copytree(plain, tmp_path / "trained")
    vocabulary = int(create_encoder("splade", str(plain)).spec.vocabulary)
    factors = np.random.default_rng(0).uniform(0.2, 3.0, vocabulary).astype(np.float32)
    np.save(tmp_path / "trained" / QUERY_FACTORS, factors)
    return tmp_path / "trained"


def test_entries_are_multiplied_before_they_are_pruned(plain: Path, trained: Path) -> None:
    factors = np.load(trained / QUERY_FACTORS)
    without = create_encoder("splade", f"{plain}?prune=none").encode_documents(DOCUMENTS)
    encoder = create_encoder("splade", f"{trained}?prune=none")
    rows = encoder.encode_documents(DOCUMENTS)
    assert without.nnz > 20
    np.testing.assert_array_equal(rows.dimensions, without.dimensions)
    np.testing.assert_allclose(rows.weights, without.weights * factors[without.dimensions])
    pruned = create_encoder("splade", f"{trained}?prune=top_k:3").encode_documents(DOCUMENTS)
    for number in range(len(DOCUMENTS)):
        row = slice(rows.indptr[number], rows.indptr[number + 1])
        largest = np.sort(rows.weights[row])[::-1][:3]
        kept = pruned.weights[pruned.indptr[number] : pruned.indptr[number + 1]]
        np.testing.assert_array_equal(np.sort(kept)[::-1], largest)


def test_they_are_part_of_the_model_and_of_its_export(plain: Path, trained: Path) -> None:
    pytest.importorskip("onnx", reason="needs the [encode] extra to export a checkpoint")
    encoder = create_encoder("splade", str(trained))
    assert (
        encoder.spec.parameters["content_hash"]
        != create_encoder("splade", str(plain)).spec.parameters["content_hash"]
    )
    output = trained.with_name("exported")
    export_encoder(trained, output)
    exported = create_encoder("splade", str(output))
    expected, found = (e.encode_documents(DOCUMENTS) for e in (encoder, exported))
    np.testing.assert_array_equal(found.dimensions, expected.dimensions)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-4, atol=1e-5)
    recorded = exported.spec.parameters["content_hash"]
    np.save(output / QUERY_FACTORS, np.load(trained / QUERY_FACTORS) * 2)
    with pytest.raises(CheckpointError, match="not the file that was exported"):
        create_encoder("splade", str(output))
    assert recorded.startswith("xxh3:")


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (lambda size: np.ones(size - 1, np.float32), "must hold float32"),
        (lambda size: np.ones(size, np.float64), "must hold float32"),
        (lambda size: np.zeros(size, np.float32), "above 0"),
        (lambda size: np.full(size, np.nan, np.float32), "above 0"),
    ],
)
def test_wrong_factors_are_named(
    trained: Path, factors: Callable[[int], np.ndarray], message: str
) -> None:
    path = trained / QUERY_FACTORS
    np.save(path, factors(len(np.load(path))))
    with pytest.raises(CheckpointError, match=message):
        create_encoder("splade", str(trained))


@pytest.mark.parametrize("content", [b"", b"no array"])
def test_a_damaged_file_is_named(trained: Path, content: bytes) -> None:
    (trained / QUERY_FACTORS).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        create_encoder("splade", str(trained))
