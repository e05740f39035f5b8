"""Axes from a network's vectors to those of a table."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json
from encoders.static_vectors import StaticVectors
from encoders.training.errors import TrainingError
from encoders.training.static_axes import nearest_axes, query_sums
from encoders.training.static_table import read_tokens
from kernels.cpu.vectors import pool_query


def test_a_rotation_is_found_again():
    rng = np.random.default_rng(0)
    hidden = np.linalg.qr(rng.normal(size=(12, 5)))[0]
    vectors = np.concatenate([np.linalg.qr(rng.normal(size=(12, 12)))[0] for _ in range(20)])
    found = nearest_axes(vectors, (vectors @ hidden).astype(np.float32))
    np.testing.assert_allclose(found, hidden, atol=1e-5)


def test_no_other_axes_have_larger_products():
    rng = np.random.default_rng(1)
    vectors, wanted = rng.normal(size=(200, 8)), rng.normal(size=(200, 4))
    axes = nearest_axes(vectors, wanted)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-5)
    best = (vectors @ axes * wanted).sum()
    for _ in range(50):
        other = np.linalg.qr(axes + 0.1 * rng.normal(size=axes.shape))[0]
        other *= np.sign(np.diag(other.T @ axes))
        assert (vectors @ other * wanted).sum() < best


def test_a_network_of_fewer_dimensions_is_refused():
    with pytest.raises(TrainingError, match="a table of 4 dimensions has no axes in a network's 3"):
        nearest_axes(np.ones((5, 3)), np.ones((5, 4)))


def test_sums_are_those_of_the_kernel(vectors_directory):
    table = StaticVectors.read(vectors_directory).table
    tokenizer = WordPieceTokenizer(default_tokenizer_json())
    counts = read_tokens(tokenizer, ["red apple red plum", "weather in new york", "x"], 64)
    vector, rounded = np.empty(16), np.empty(16, np.int32)
    for found, (tokens, times) in zip(query_sums(table, counts), counts, strict=True):
        damped = 1 + np.log(times.astype(np.float64))
        pool_query(tokens, damped, table.vectors, table.query_weight, vector, rounded)
        np.testing.assert_allclose(found, vector, atol=1e-6)
