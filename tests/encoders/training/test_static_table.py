"""Fitting static vectors: nearer to the teacher, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

VOCABULARY, AXES, TOPICS = 40, 12, 8


def examples(seed: int = 0):
    """Texts of a topic's words; the teacher knows topics."""
    from encoders.training.static_table import StaticExamples

    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(TOPICS, AXES))
    texts: list[list] = [[], []]
    vectors: list[list] = [[], []]
    for number in range(300):
        topic = number % TOPICS
        words = np.arange(topic, VOCABULARY, TOPICS)
        for side, size in ((0, 4), (1, 2)):
            chosen = np.sort(rng.choice(words, size, replace=False))
            texts[side].append((chosen, rng.integers(1, 4, size).astype(np.float32)))
            vector = axes[topic] + 0.1 * rng.normal(size=AXES)
            vectors[side].append(vector / np.linalg.norm(vector))
    pairs = np.stack([np.arange(300), np.arange(300)], axis=1)
    return StaticExamples(*texts, *map(np.array, vectors), pairs)


def cosine_of_documents(table, found) -> float:
    from encoders.training.static_table import principal_axes

    axes = principal_axes(found.document_vectors, table.vectors.shape[1])
    tokens = [np.repeat(t, c.astype(int)).tolist() for t, c in found.documents]
    sums = table.document_sums(tokens)
    return float((sums * (found.document_vectors @ axes)).sum(axis=1).mean())


def test_training_comes_nearer_to_the_teacher():
    from encoders.training.static_table import StaticSettings, fit_static_table

    found = examples()
    lines: list[str] = []
    settings = StaticSettings(dimensions=10, steps=1, batch=64)
    before = fit_static_table(found, VOCABULARY, settings)
    longer = StaticSettings(dimensions=10, steps=150, batch=64, token_dropout=0.2)
    after = fit_static_table(found, VOCABULARY, longer, lines.append)
    assert before.vectors.shape == after.vectors.shape == (VOCABULARY, 10)
    assert cosine_of_documents(after, found) > max(0.9, cosine_of_documents(before, found))
    assert [line.partition(":")[0] for line in lines] == ["step 0", "step 100", "step 149"]


def test_the_same_settings_give_the_same_table():
    from encoders.training.static_table import StaticSettings, fit_static_table

    settings = StaticSettings(dimensions=8, steps=20, batch=32, token_dropout=0.5, seed=3)
    first, second = (fit_static_table(examples(), VOCABULARY, settings) for _ in range(2))
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(first.query_weight, second.query_weight)
    other = fit_static_table(examples(), VOCABULARY, settings.model_copy(update={"seed": 4}))
    assert not np.array_equal(first.vectors, other.vectors)


def test_axes_are_orthonormal_and_longest_first():
    from encoders.training.errors import TrainingError
    from encoders.training.static_table import principal_axes

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6)) * [5, 4, 3, 2, 1, 0.5] + [9, 0, 0, 0, 0, 0]
    axes = principal_axes(vectors, 4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-5)
    lengths = np.linalg.norm(vectors @ axes, axis=0)
    assert lengths.tolist() == sorted(lengths, reverse=True)
    assert all(axes[np.abs(axes[:, i]).argmax(), i] > 0 for i in range(4))
    with pytest.raises(TrainingError, match="7 dimensions of vectors that have 6"):
        principal_axes(vectors, 7)


def test_tokens_of_the_beginning_are_counted():
    from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json
    from encoders.training.static_table import read_tokens

    tokenizer = WordPieceTokenizer(default_tokenizer_json())
    (tokens, counts), (nothing, once) = read_tokens(tokenizer, ["red apple red plum", ""], 3)
    assert {tokenizer.token(t): c for t, c in zip(tokens, counts, strict=True)} == {
        "red": 2,
        "apple": 1,
    }
    assert [tokenizer.token(nothing[0])] == ["[UNK]"]
    assert once.tolist() == [1]
