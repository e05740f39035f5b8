"""Static vectors: files, what is refused, and what a document gets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from encoders.base import Document
from encoders.errors import CheckpointError
from encoders.shipped import SHIPPED_MODEL, SHIPPED_VECTORS, static_vectors
from encoders.static_config import CONFIG_NAME
from encoders.static_vectors import (
    TABLE_NAME,
    StaticTable,
    StaticVectors,
    write_static_vectors,
)
from kernels.cpu.vectors import VECTOR_STEP

MOST_BYTES = 25_000_000


@pytest.fixture(scope="module")
def shipped() -> StaticVectors:
    return static_vectors()


def cosine(vectors: StaticVectors, left: str, right: str) -> float:
    a, b = vectors.document_vectors([Document("a", left), Document("b", right)]).astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_texts_about_one_thing_are_near(shipped):
    about_cars = "The automobile would not start, so its battery was replaced."
    assert cosine(shipped, about_cars, "a car engine that fails to start") > 0.3
    assert cosine(shipped, about_cars, "baking bread with rye flour") < 0.2


def test_vectors_have_norm_1(shipped):
    found = shipped.document_vectors([Document("a", "gates are logic", title="AND")])
    assert found.dtype == np.int8
    assert found.shape == (1, shipped.dimensions)
    assert np.linalg.norm(found[0] * VECTOR_STEP) == pytest.approx(1, abs=0.02)


def test_title_and_text_are_read_up_to_the_limit(shipped):
    words = ["wheat", "chaff", "sieve", "grain", "mill", "bread", "oven", "crust"] * 100
    limit = shipped.config.max_length
    whole, same, other = shipped.document_vectors(
        [
            Document("a", " ".join(words[1:]), title=words[0]),
            Document("b", " ".join(words[:limit])),
            Document("c", "another beginning " + " ".join(words)),
        ]
    )
    assert whole.tolist() == same.tolist() != other.tolist()


def test_no_text_gives_zeros(shipped):
    found = shipped.document_vectors([Document("a", ""), Document("b", " \n"), Document("c", "x")])
    assert found.any(axis=1).tolist() == [False, False, True]
    assert shipped.document_vectors([]).shape == (0, shipped.dimensions)


def test_model_and_vectors_are_small():
    files = [path for folder in (SHIPPED_MODEL, SHIPPED_VECTORS) for path in folder.rglob("*")]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


def test_rounding_keeps_the_vectors():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(7, 16)).astype(np.float32)
    vectors[3] = 0
    weights = rng.random(7).astype(np.float32)
    table = StaticTable.quantised(vectors, weights, 2 * weights, np.zeros(16, np.float32))
    expected = vectors * weights[:, None]
    np.testing.assert_allclose(
        table.vectors * table.document_weight[:, None], expected, atol=np.abs(expected).max() / 200
    )
    np.testing.assert_allclose(table.query_weight, 2 * table.document_weight, rtol=1e-6)


def replace_table(directory: Path, arrays: dict[str, np.ndarray]) -> None:
    """Puts another table into a directory, under a hash that fits."""
    write_static_vectors(directory, StaticTable(**arrays), static_vectors().config)


def test_a_flipped_bit_is_noticed(tmp_path):
    directory = shutil.copytree(SHIPPED_VECTORS, tmp_path / "vectors")
    content = bytearray((directory / TABLE_NAME).read_bytes())
    content[-1000] ^= 4
    (directory / TABLE_NAME).write_bytes(content)
    with pytest.raises(CheckpointError, match="copy the folder again"):
        StaticVectors.read(directory)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vectors", lambda array: array[:-1]),
        ("vectors", lambda array: array.astype(np.int16)),
        ("query_weight", lambda array: np.where(array > 0, np.nan, array).astype(np.float32)),
        ("document_weight", lambda array: array[:10]),
        ("bias", lambda array: array[:-1]),
        ("vectors", lambda array: array[:, :0]),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, name, change):
    directory = shutil.copytree(SHIPPED_VECTORS, tmp_path / "vectors")
    arrays = load_file(directory / TABLE_NAME)
    arrays[name] = np.ascontiguousarray(change(arrays[name]))
    replace_table(directory, arrays)
    with pytest.raises(CheckpointError, match=rf"{TABLE_NAME}: {name} must be"):
        StaticVectors.read(directory)


@pytest.mark.parametrize(
    "damage",
    [
        lambda directory: (directory / TABLE_NAME).unlink(),
        lambda directory: (directory / CONFIG_NAME).unlink(),
        lambda directory: (directory / CONFIG_NAME).write_text("{"),
        lambda directory: (directory / CONFIG_NAME).write_text(json.dumps({"weight": -1})),
        lambda directory: (directory / CONFIG_NAME).write_text(
            (directory / CONFIG_NAME).read_text().replace("30.0", "2e9")
        ),
        lambda directory: (directory / TABLE_NAME).write_bytes(b"\x09" * 30),
        lambda directory: save_file({"vectors": np.zeros(3)}, directory / TABLE_NAME),
        lambda directory: save_file({"other": np.zeros(3)}, directory / TABLE_NAME),
    ],
)
def test_damaged_files_are_named(tmp_path, damage):
    directory = shutil.copytree(SHIPPED_VECTORS, tmp_path / "vectors")
    damage(directory)
    with pytest.raises(CheckpointError, match="vectors: no static vectors"):
        StaticVectors.read(directory)


def test_a_bare_number_in_place_of_vectors_is_named(tmp_path):
    directory = shutil.copytree(SHIPPED_VECTORS, tmp_path / "vectors")
    arrays = load_file(directory / TABLE_NAME)
    arrays["vectors"] = np.array(3, dtype=np.int8)
    replace_table(directory, arrays)
    with pytest.raises(CheckpointError, match="vectors must be"):
        StaticVectors.read(directory)
