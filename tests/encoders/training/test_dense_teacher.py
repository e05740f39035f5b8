"""The dense teacher: vectors of a sentence encoder, kept by text, model and precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from encoders.training.dense_teacher import DenseTeacher  # noqa: E402

TEXTS = ["weather in new york", "rain", "a query of the sparse index model"]


def test_vectors_are_kept_by_precision(sentence_encoder: Path, tmp_path: Path) -> None:
    exact = DenseTeacher(sentence_encoder, tmp_path / "cache")
    reduced = DenseTeacher(sentence_encoder, tmp_path / "cache", precision="bfloat16")
    vectors = [exact.vectors(TEXTS), reduced.vectors(TEXTS)]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert not np.array_equal(*vectors)
    cosines = (vectors[0].astype(np.float32) * vectors[1]).sum(axis=1)
    assert cosines.min() > 0.99
    told: list[str] = []
    assert np.array_equal(reduced.vectors(TEXTS, told.append), vectors[1])
    assert not told
