"""The dense teacher: mean of the last states, kept by text, model and precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytestmark = pytest.mark.torch

from safetensors.torch import load_file, save_file  # noqa: E402

from encoders._transformers import masked_language_model  # noqa: E402
from encoders.checkpoint_files import read_json_object  # noqa: E402
from encoders.errors import CheckpointError  # noqa: E402
from encoders.training.dense_teacher import DenseTeacher  # noqa: E402

TEXTS = ["weather in new york", "rain", "a query of the sparse index model"]


@pytest.fixture
def directory(tmp_path: Path, write_masked_lm: Callable[..., Path]) -> Path:
    """A sentence encoder: the network of a masked language model without its head."""
    directory = write_masked_lm(tmp_path / "dense")
    model = masked_language_model(read_json_object(directory / "config.json"))
    tensors = {k: t.contiguous() for k, t in model.base_model.state_dict().items()}
    save_file(tensors, directory / "model.safetensors")
    return directory


def test_vectors_are_the_mean_of_the_states_of_each_text(directory: Path, tmp_path: Path) -> None:
    teacher = DenseTeacher(directory, tmp_path / "cache")
    found = teacher.vectors(TEXTS).astype(np.float32)
    model = masked_language_model(read_json_object(directory / "config.json")).base_model.eval()
    model.load_state_dict(load_file(directory / "model.safetensors"))
    tokenizer = teacher._tokenizer
    for text, vector in zip(TEXTS, found, strict=True):
        ids = [tokenizer.id("[CLS]"), *tokenizer.ids_batch([text])[0], tokenizer.id("[SEP]")]
        with torch.no_grad():
            mean = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, mean / mean.norm(), atol=2e-3)


def test_vectors_are_kept_by_precision(directory: Path, tmp_path: Path) -> None:
    exact = DenseTeacher(directory, tmp_path / "cache")
    reduced = DenseTeacher(directory, tmp_path / "cache", precision="bfloat16")
    vectors = [exact.vectors(TEXTS), reduced.vectors(TEXTS)]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert not np.array_equal(*vectors)
    cosines = (vectors[0].astype(np.float32) * vectors[1]).sum(axis=1)
    assert cosines.min() > 0.99
    told: list[str] = []
    assert np.array_equal(reduced.vectors(TEXTS, told.append), vectors[1])
    assert not told


def test_a_missing_tensor_is_named(directory: Path, tmp_path: Path) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("query.weight"))
    save_file({k: t for k, t in tensors.items() if k != name}, path)
    with pytest.raises(CheckpointError, match=name):
        DenseTeacher(directory, tmp_path / "cache")
