"""Query tables from every kind of file and from corpus statistics."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from encoders.errors import CheckpointError
from encoders.query.table import from_corpus, read_table
from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, write_tokenizer) -> WordPieceTokenizer:
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory)
    return WordPieceTokenizer((directory / "tokenizer.json").read_bytes())


@pytest.fixture
def size(tokenizer) -> int:
    return tokenizer.vocab_size + 3


def test_published_idf_of_opensearch(shared_data):
    path = shared_data / "query_side" / "opensearch_idf" / "idf.json"
    if not path.is_file():
        pytest.skip("query_side/opensearch_idf/idf.json is not among the shared data")
    tokenizer = WordPieceTokenizer(default_tokenizer_json())
    table = read_table(path, tokenizer, 30522)
    published = {"ny": 5.772862, "weather": 4.568416, "now": 3.5895, "hello": 6.93776}
    for token, weight in published.items():
        assert table[tokenizer.id(token)] == pytest.approx(weight, abs=1e-4)
    query = sorted(set(tokenizer.ids("What's the weather in ny now?")))
    tokens = [tokenizer.token(i) for i in query]
    assert sorted(tokens) == sorted(["what", "'", "s", "the", "weather", "in", "ny", "now", "?"])
    assert (table[query] > 0).all()
    assert not table[sorted(tokenizer.special_ids)].any()
    # The file is the formula over MS MARCO's 8,841,823 passages: 15.58954 is df = 1.
    assert table.max() == pytest.approx(from_corpus(8_841_823, [1])[0], abs=1e-5)


def test_json_text_and_safetensors_give_one_table(tmp_path, tokenizer, size):
    weights = {"planet": 2.5, "red": -1.0, "[MASK]": 9.0, "##ing": 0.25, "?": 1e-3}
    (tmp_path / "idf.json").write_text(json.dumps(weights))
    lines = "".join(f"{token}\t{weight}\n" for token, weight in weights.items())
    (tmp_path / "query_token_weights.txt").write_text(lines)
    values = np.zeros(tokenizer.vocab_size, dtype=np.float32)
    for token, weight in weights.items():
        values[tokenizer.id(token)] = weight
    save_file({"weight": values}, tmp_path / "model.safetensors")
    expected = np.zeros(size, dtype=np.float32)
    for token in ("planet", "##ing", "?"):  # Neither the negative one nor the special one.
        expected[tokenizer.id(token)] = weights[token]
    for name in ("idf.json", "query_token_weights.txt", "model.safetensors"):
        table = read_table(tmp_path / name, tokenizer, size)
        assert table.dtype == np.float32
        np.testing.assert_array_equal(table, expected)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_float_types(tmp_path, tokenizer, size, kind):
    values = np.linspace(0, 4, tokenizer.vocab_size).astype(kind)
    save_file({"weight": values}, tmp_path / "model.safetensors")
    table = read_table(tmp_path / "model.safetensors", tokenizer, size)
    np.testing.assert_array_equal(table[5:-3], values[5:].astype(np.float32))


@pytest.mark.torch
def test_bfloat16_without_torch_equals_torch(tmp_path, tokenizer, size):
    torch = pytest.importorskip("torch", reason="needs the [encode] extra")
    from safetensors.torch import save_file as save_torch_file

    values = torch.linspace(0, 9, tokenizer.vocab_size).bfloat16()
    save_torch_file({"weight": values}, tmp_path / "model.safetensors")
    table = read_table(tmp_path / "model.safetensors", tokenizer, size)
    np.testing.assert_array_equal(table[5:-3], values.float().numpy()[5:])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("idf.json", '{"planet": 1', "cannot be read as JSON"),
        ("idf.json", "[1, 2]", "must hold a JSON object, got list"),
        ("idf.json", "{}", "holds no weights"),
        ("idf.json", '{"planet": "high"}', "token 'planet': expected a token and its weight"),
        ("idf.json", '{"planet": null}', "token 'planet': expected a token and its weight"),
        ("idf.json", '{"planet": NaN}', "NaN or infinite weight at token id"),
        ("idf.json", '{"planet": 1e60}', "NaN or infinite weight at token id"),
        ("idf.json", '{"nowhere": 1, "planet": 2}', r"does not have \(1, such as 'nowhere'\)"),
        ("query_token_weights.txt", "planet\t1\nred 2\n", "line 2: expected a token"),
        ("query_token_weights.txt", "planet\tmuch\n", "line 1: expected a token"),
        ("query_token_weights.txt", "\n", "holds no weights"),
        ("query_token_weights.txt", b"\xff\xfe", "cannot be read"),
        ("model.safetensors", b"\x08", "truncated or damaged"),
        ("model.safetensors", b"", "truncated or damaged"),
    ],
)
def test_broken_files_are_named(tmp_path, tokenizer, size, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match=message) as raised:
        read_table(path, tokenizer, size)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": np.ones((3, 2), np.float32)}, r"got: weight \[3, 2\]"),
        ({"emb": np.ones(160, np.float32)}, r"got: emb \[160\]"),
        ({"weight": np.ones(144, np.float32), "x": np.ones(1, np.float32)}, "one tensor 'weight'"),
        ({"weight": np.ones(99, np.float32)}, "99 query weights, but the tokenizer has"),
        ({"weight": np.ones(999, np.float32)}, "999 query weights, but the tokenizer has"),
        ({"weight": np.ones(144, np.int32)}, "floating-point numbers, got I32"),
        ({"weight": np.full(144, np.nan, np.float32)}, "NaN or infinite weight at token id 0"),
    ],
)
def test_tables_of_another_model_are_named(tmp_path, tokenizer, size, tensors, message):
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        read_table(tmp_path / "model.safetensors", tokenizer, size)


def test_truncated_safetensors(tmp_path, tokenizer, size):
    path = tmp_path / "model.safetensors"
    save_file({"weight": np.ones(tokenizer.vocab_size, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_table(path, tokenizer, size)


def test_tokenizer_larger_than_the_model(tmp_path, tokenizer):
    (tmp_path / "idf.json").write_text('{"planet": 1}')
    with pytest.raises(CheckpointError, match="but the model only 10 vocabulary rows"):
        read_table(tmp_path / "idf.json", tokenizer, 10)


def test_table_of_a_corpus():
    doc_freq = np.array([10, 4, 1, 0, 0])
    table = from_corpus(10, doc_freq, special_ids={4})
    expected = [math.log(1 + (10 - df + 0.5) / (df + 0.5)) for df in (10, 4, 1, 0)]
    np.testing.assert_allclose(table, [*expected, 0], rtol=1e-6)
    assert table.dtype == np.float32
    assert table.argmax() == 3
    opensearch = from_corpus(10, doc_freq, unseen=1.0)
    np.testing.assert_array_equal(opensearch[3:], [1, 1])
    np.testing.assert_array_equal(opensearch[:3], table[:3])


@pytest.mark.parametrize("unseen", [-1.0, math.nan, math.inf])
def test_unseen_weight_is_checked(unseen):
    with pytest.raises(ValueError, match="unseen must be a finite weight >= 0"):
        from_corpus(1, [0], unseen=unseen)


def test_frequencies_above_the_row_count_are_refused():
    with pytest.raises(ValueError, match="must lie between 0 and row_count=2"):
        from_corpus(2, [3])
    assert from_corpus(0, [0]).tolist() == [pytest.approx(math.log(2))]
