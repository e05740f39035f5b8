"""Published checkpoints give their published scores.

``WINNOW_CHECKPOINTS`` names a folder in which each checkpoint has the folder that its test is
named after, e.g. ``WINNOW_CHECKPOINTS=models pytest tests/encoders -k v3-gte``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.base import Document, SparseRows
from encoders.query.tokenizer import WordPieceTokenizer

pytestmark = pytest.mark.torch

VARIABLE = "WINNOW_CHECKPOINTS"
PREFIX = "opensearch-neural-sparse-encoding-"

QUERY = "Which planet is known as the Red Planet?"
DOCUMENTS = [
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet.",
]

# Of sentence-transformers' own tests, in bfloat16 with a tolerance of 1%.
RED_PLANET = {
    f"{PREFIX}doc-v1": [5.60053, 15.55479, 11.6238, 14.37797],
    f"{PREFIX}doc-v2-distill": [8.8719, 21.10436, 16.59436, 18.5146],
    f"{PREFIX}doc-v2-mini": [5.62505, 14.09715, 12.41688, 13.27353],
    f"{PREFIX}doc-v3-distill": [5.4128, 11.59968, 9.66586, 10.57532],
    f"{PREFIX}doc-v3-gte": [6.58088, 14.59468, 10.92079, 12.53643],
}

# Weights of "Currently New York is rainy." on the model cards, to four digits.
RAINY = {
    f"{PREFIX}doc-v2-distill": {"ny": 1.4109, "weather": 1.4673, "now": 0.7473},
    f"{PREFIX}doc-v2-mini": {"ny": 1.0251, "weather": 1.1145, "now": 0.5356, "?": 0.2710},
    f"{PREFIX}doc-v3-distill": {"ny": 0.8049, "weather": 0.9710, "now": 0.4720, "?": 0.0286},
    f"{PREFIX}doc-v3-gte": {
        "weather": 1.0387,
        "york": 1.0296,
        "ny": 0.9703,
        "rain": 0.9550,
        "rainy": 0.9479,
    },
}


def checkpoint(name: str) -> Any:
    folder = os.environ.get(VARIABLE)
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"{VARIABLE} names no folder with {name}")
    pytest.importorskip("torch", reason="needs the [encode] extra")
    pytest.importorskip("transformers", reason="needs the [encode] extra")
    from encoders.splade import create

    return create("splade", str(Path(folder) / name), device="cpu", max_length=512)


def dense(rows: SparseRows, size: int) -> np.ndarray:
    matrix = np.zeros((len(rows), size), np.float32)
    row_of = np.repeat(np.arange(len(rows)), np.diff(rows.indptr))
    matrix[row_of, rows.dimensions] = rows.weights
    return matrix


@pytest.mark.parametrize("name", RED_PLANET)
def test_scores_of_four_planets(name: str) -> None:
    encoder = checkpoint(name)
    side = encoder.query_side()
    assert side.table is not None
    tokens = sorted(set(WordPieceTokenizer(side.tokenizer_json).ids(QUERY)))
    rows = encoder.encode_documents([Document(text, text) for text in DOCUMENTS])
    scores = dense(rows, encoder.spec.vocabulary)[:, tokens] @ side.table[tokens]
    np.testing.assert_allclose(scores, RED_PLANET[name], rtol=1e-2)


@pytest.mark.parametrize("name", RAINY)
def test_weights_on_the_model_card(name: str) -> None:
    encoder = checkpoint(name)
    tokenizer = WordPieceTokenizer(encoder.query_side().tokenizer_json)
    rows = encoder.encode_documents([Document("1", "Currently New York is rainy.")])
    [weights] = dense(rows, encoder.spec.vocabulary)
    for token, expected in RAINY[name].items():
        assert weights[tokenizer.id(token)] == pytest.approx(expected, abs=1e-3), token
