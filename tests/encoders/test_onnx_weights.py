"""An exported encoder becomes a checkpoint again, with the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document
from encoders.errors import CheckpointError
from encoders.exported import CONFIG

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytest.importorskip("onnx", reason="needs the [encode] extra")

from encoders.onnx_export import export_encoder  # noqa: E402
from encoders.onnx_weights import restore_checkpoint  # noqa: E402
from encoders.shipped import SHIPPED_MODEL  # noqa: E402
from encoders.splade import create  # noqa: E402

TEXTS = ["what is the weather in new york now", "sparse", "", "a model of words, dense and sparse"]
DOCUMENTS = [Document(str(number), text) for number, text in enumerate(TEXTS)]


def dense_rows(directory: Path) -> np.ndarray:
    encoder = create("splade", str(directory))
    rows = encoder.encode_documents(DOCUMENTS)
    matrix = np.zeros((len(rows), int(encoder.spec.vocabulary)))
    for i in range(len(rows)):
        span = slice(rows.indptr[i], rows.indptr[i + 1])
        matrix[i, rows.dimensions[span]] = rows.weights[span]
    return matrix


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_the_rows_are_those_of_the_checkpoint(
    architecture: str, is_tied: bool, write_masked_lm: Callable[..., Path], tmp_path: Path
) -> None:
    checkpoint = write_masked_lm(tmp_path / "c", architecture, tie_word_embeddings=is_tied)
    export_encoder(checkpoint, tmp_path / "export")
    restore_checkpoint(tmp_path / "export", tmp_path / "restored")
    found, wanted = dense_rows(tmp_path / "restored"), dense_rows(checkpoint)
    assert np.count_nonzero(wanted) > 20
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("is_tied", [True, False])
def test_eight_bits_are_restored_as_they_were_computed(
    is_tied: bool, write_masked_lm: Callable[..., Path], tmp_path: Path
) -> None:
    checkpoint = write_masked_lm(tmp_path / "c", tie_word_embeddings=is_tied)
    config = export_encoder(checkpoint, tmp_path / "export", precision="int8")
    assert config.word_embeddings == ("head" if is_tied else "body")
    restore_checkpoint(tmp_path / "export", tmp_path / "restored")
    found, wanted = dense_rows(tmp_path / "restored"), dense_rows(tmp_path / "export")
    assert np.count_nonzero(wanted) > 20
    # What is left is the 8-bit rounding of states in the exported head.
    assert np.abs(found - wanted).mean() < 0.01 * wanted[wanted > 0].mean()
    [again] = {
        export_encoder(tmp_path / "restored", tmp_path / "again", precision="int8").files[name]
        for name in ("head.safetensors",)
    }
    assert again == config.files["head.safetensors"]


def test_the_shipped_model_can_be_trained_further(tmp_path: Path) -> None:
    config = restore_checkpoint(SHIPPED_MODEL, tmp_path / "restored")
    assert config.activation == "relu"
    found, wanted = dense_rows(tmp_path / "restored"), dense_rows(SHIPPED_MODEL)
    assert np.count_nonzero(wanted) > 100
    both = (found > 0) & (wanted > 0)  # the export has a head of 8 bits
    assert np.count_nonzero(both) > 0.95 * np.count_nonzero(wanted)
    assert np.abs(found - wanted)[both].mean() < 0.05


def test_an_export_that_does_not_say_its_architecture_is_refused(
    write_masked_lm: Callable[..., Path], tmp_path: Path
) -> None:
    export = tmp_path / "export"
    export_encoder(write_masked_lm(tmp_path / "c"), export)
    content = json.loads((export / CONFIG).read_text())
    (export / CONFIG).write_text(json.dumps(content | {"architecture": None}))
    with pytest.raises(CheckpointError, match="without its architecture"):
        restore_checkpoint(export, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_an_export_with_query_weights_of_its_own_is_refused(
    write_router: Callable[..., Path], tmp_path: Path
) -> None:
    export_encoder(write_router(tmp_path / "router"), tmp_path / "export")
    with pytest.raises(CheckpointError, match="query weights"):
        restore_checkpoint(tmp_path / "export", tmp_path / "restored")
