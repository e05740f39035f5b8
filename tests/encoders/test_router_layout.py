"""A checkpoint saved in the Router layout is the same encoder, in sentence-transformers too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from encoders.base import Document, SparseRows
from encoders.errors import CheckpointError, EncoderError
from encoders.query.table import from_corpus, read_table
from encoders.query.tokenizer import WordPieceTokenizer

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

from encoders.commands import export_router  # noqa: E402
from encoders.query_factors import QUERY_FACTORS  # noqa: E402
from encoders.router_layout import STATIC_EMBEDDING, save_router_layout  # noqa: E402
from encoders.splade import create  # noqa: E402

TEXTS = [
    "What is the weather in New York now?",
    "mars",
    "Searching a sparse vector index, with a ranked list of passages " * 3,
    "SATURN Saturn",
]
DOCUMENTS = [Document(str(number), text) for number, text in enumerate(TEXTS)]


def dense(rows: SparseRows, size: int) -> np.ndarray:
    matrix = np.zeros((len(rows), size), dtype=np.float32)
    matrix[np.repeat(np.arange(len(rows)), np.diff(rows.indptr)), rows.dimensions] = rows.weights
    return matrix


def assert_saved(source: str, saved: Path) -> None:
    """The vectors of the source, here and there; the queries of the source's table."""
    before = create("splade", source, zero_special_tokens=False)
    size = int(before.spec.vocabulary)
    expected = dense(before.encode_documents(DOCUMENTS), size)
    after = create("splade", str(saved), zero_special_tokens=False)
    np.testing.assert_allclose(dense(after.encode_documents(DOCUMENTS), size), expected, atol=1e-6)
    assert after.spec.parameters["layout"] == "router"
    for key in ("activation", "pooling"):
        assert after.spec.parameters[key] == before.spec.parameters[key]
    assert after.spec.max_length == before.spec.max_length

    peers = pytest.importorskip("sentence_transformers", reason="gives the vectors to compare")
    model = peers.SparseEncoder(str(saved), device="cpu")
    documents = model.encode_document(TEXTS, convert_to_tensor=True).to_dense().numpy()
    np.testing.assert_allclose(documents, expected, atol=1e-5)
    queries = model.encode_query(TEXTS, convert_to_tensor=True).to_dense().numpy()
    table = after.query_side().table
    tokenizer = WordPieceTokenizer(after.query_side().tokenizer_json or b"")
    ours = np.zeros_like(queries)
    for row, text in zip(ours, TEXTS, strict=True):
        ids = tokenizer.ids(text)
        row[ids] = table[ids]
    np.testing.assert_allclose(queries, ours, atol=1e-6)
    assert (ours > 0).any(axis=1).all()  # each query has a token that weighs


def idf(size: int) -> np.ndarray:
    frequencies = np.random.default_rng(5).integers(0, 90, size)
    return from_corpus(100, frequencies, special_ids=range(5))


def test_symmetric_splade_becomes_inference_free(write_splade, tmp_path, tokens):
    source = write_splade(tmp_path / "splade", "log1p_relu")
    with pytest.raises(EncoderError, match="publishes no query weights"):
        save_router_layout(str(source), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    save_router_layout(str(source), tmp_path / "saved", query_weights=idf(len(tokens)))
    assert_saved(str(source), tmp_path / "saved")
    table = create("splade", str(tmp_path / "saved")).query_side().table
    np.testing.assert_array_equal(table, idf(len(tokens)))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("at_root", [True, False])
def test_router_layout_is_kept(write_router, tmp_path, at_root):
    source = write_router(tmp_path / "router", at_root=at_root, architecture="distilbert")
    save_router_layout(str(source), tmp_path / "deep" / "saved")
    assert_saved(str(source), tmp_path / "deep" / "saved")


def test_plain_directory_with_settings(write_masked_lm, tmp_path):
    source = write_masked_lm(tmp_path / "plain")
    (source / "idf.json").write_text(
        json.dumps({"mars": 4.5, "new": 0.1, "saturn": 1e-7, "list": 2.0})
    )
    argument = f"{source}?activation=log1p_relu&max_length=12"
    save_router_layout(argument, tmp_path / "saved")
    assert_saved(argument, tmp_path / "saved")


@pytest.mark.parametrize(
    "prune",
    ["none", "max_ratio:0.123456789", "max_ratio:0", "top_k:7", "alpha_mass:0.9", "abs_value:0.5"],
)
def test_pruning_is_kept(write_router, tmp_path, prune):
    source = write_router(tmp_path / "router")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"sparse_prune_ratio": 0.5}))
    save_router_layout(f"{source}?prune={prune}", tmp_path / "saved")
    before = create("splade", f"{source}?prune={prune}")
    after = create("splade", str(tmp_path / "saved"))
    assert after.spec.parameters["prune"] == prune == before.spec.parameters["prune"]
    rows, expected = after.encode_documents(DOCUMENTS), before.encode_documents(DOCUMENTS)
    np.testing.assert_array_equal(rows.dimensions, expected.dimensions)
    whole = json.loads((tmp_path / "saved" / "config_sentence_transformers.json").read_text())
    known = {"max_ratio:0.123456789": 0.123456789, "max_ratio:0": 0.0}
    assert whole.get("sparse_prune_ratio") == known.get(prune)  # OpenSearch reads this one.
    again = create("splade", f"{tmp_path / 'saved'}?prune=top_k:3")
    assert again.spec.parameters["prune"] == "top_k:3"


def test_a_query_that_counts_repeated_tokens_is_kept(write_masked_lm, tmp_path):
    """Li-LSR: ``aggregation=sum``, which sentence-transformers has no place for."""
    source = write_masked_lm(tmp_path / "plain")
    (source / "query_token_weights.txt").write_text("mars\t2.5\nnew\t0.5\nlist\t1\nsaturn\t2\n")
    for aggregation in ("sum", "binary"):
        saved = tmp_path / aggregation
        save_router_layout(f"{source}?aggregation={aggregation}", saved)
        encoder = create("splade", str(saved))
        assert encoder.spec.aggregation == aggregation
        assert encoder.spec.parameters["aggregation"] == aggregation
    assert create("splade", f"{tmp_path / 'sum'}?aggregation=binary").spec.aggregation == "binary"
    assert_saved(str(source), tmp_path / "sum")


@pytest.mark.parametrize("published", [True, False])
def test_trained_query_factors_stand_in_the_query_weights(
    write_router, write_splade, tmp_path, tokens, published
):
    """Scores are equal, in sentence-transformers too, which knows nothing of the factors."""
    source = (write_router if published else write_splade)(tmp_path / "source")
    given = None if published else idf(len(tokens))
    generator = np.random.default_rng(4)
    factors = generator.uniform(0.2, 3.0, len(tokens)).astype(np.float32)
    np.save(source / QUERY_FACTORS, factors)
    save_router_layout(str(source), tmp_path / "saved", query_weights=given)
    assert not (tmp_path / "saved" / QUERY_FACTORS).exists()
    before, after = create("splade", str(source)), create("splade", str(tmp_path / "saved"))
    table = before.query_side().table if published else given
    expected = dense(before.encode_documents(DOCUMENTS), len(tokens)) * table
    weights = after.query_side().table
    found = dense(after.encode_documents(DOCUMENTS), len(tokens)) * weights
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weights, table * factors, rtol=1e-6)

    with pytest.raises(EncoderError, match=r"prune=top_k:9 would drop other .*add prune=none"):
        save_router_layout(f"{source}?prune=top_k:9", tmp_path / "other", query_weights=given)
    peers = pytest.importorskip("sentence_transformers", reason="gives the scores to compare")
    model = peers.SparseEncoder(str(tmp_path / "saved"), device="cpu")
    documents = model.encode_document(TEXTS, convert_to_tensor=True).to_dense().numpy()
    queries = model.encode_query(TEXTS, convert_to_tensor=True).to_dense().numpy()
    scores = np.stack(
        [expected[:, sorted(set(before.tokenizers.query.ids(text)))].sum(axis=1) for text in TEXTS]
    )
    np.testing.assert_allclose(queries @ documents.T, scores, rtol=1e-4)


@pytest.mark.parametrize(
    ("winnow", "message"),
    [
        ([], "must be an object with prune and aggregation"),
        ({"prune": "none", "later": 1}, "must be an object with prune and aggregation"),
        ({"prune": "top_k:0"}, "pruning 'top_k' needs a whole number from 1"),
        ({"prune": 3}, "pruning must be 'none' or a kind and a number"),
        ({"aggregation": "mean"}, "must be 'binary' or 'sum', got 'mean'"),
        ({"prune": "max_ratio:0.2"}, r"'max_ratio:0\.2', but sparse_prune_ratio beside it is 0\.1"),
    ],
)
def test_recorded_settings_that_cannot_be_are_named(write_router, tmp_path, winnow, message):
    source = write_router(tmp_path / "router")
    path = source / "config_sentence_transformers.json"
    path.write_text(json.dumps({"winnow": winnow, "sparse_prune_ratio": 0.1}))
    with pytest.raises(CheckpointError, match=message):
        create("splade", str(source))


def test_lower_casing_and_prompt_are_kept(write_splade, tmp_path, tokens):
    source = write_splade(tmp_path / "splade")
    for name, changes in (
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("config_sentence_transformers.json", {"prompts": {"document": "rank: "}}),
    ):
        settings = json.loads((source / name).read_text()) | changes
        (source / name).write_text(json.dumps(settings))
    save_router_layout(str(source), tmp_path / "saved", query_weights=idf(len(tokens)))
    assert_saved(str(source), tmp_path / "saved")


def test_old_checkpoint_with_vocabulary_text(write_masked_lm, tmp_path, tokens):
    source = write_masked_lm(tmp_path / "plain")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (source / name).unlink()
    (source / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    save_router_layout(str(source), tmp_path / "saved", query_weights=idf(len(tokens)))
    assert_saved(str(source), tmp_path / "saved")


def test_the_tables_of_opensearch_hold_the_same_weights(write_router, tmp_path, tokens):
    weights = np.random.default_rng(3).normal(2, 2, len(tokens)).astype(np.float32)
    source = write_router(tmp_path / "router", weights=weights)
    saved = tmp_path / "saved"
    save_router_layout(str(source), saved)
    tokenizer = WordPieceTokenizer((saved / "tokenizer.json").read_bytes())
    tables = [
        read_table(saved / name, tokenizer, len(tokens))
        for name in (f"{STATIC_EMBEDDING}/model.safetensors", "idf.json", "query_token_weights.txt")
    ]
    expected = np.maximum(weights, 0)
    expected[:5] = 0
    for table in tables:
        np.testing.assert_array_equal(table, expected)


def test_published_splade_tiny(splade_tiny, tmp_path):
    save_router_layout(str(splade_tiny), tmp_path / "saved", query_weights=idf(30_522))
    assert_saved(str(splade_tiny), tmp_path / "saved")


def test_what_cannot_be_saved_is_said(write_splade, tmp_path, tokens):
    source = write_splade(tmp_path / "splade")
    with pytest.raises(EncoderError, match="exists; give a directory that does not"):
        save_router_layout(str(source), source)
    for weights, message in (
        (idf(7), r"at least 143 finite numbers.* shape \(7,\)"),
        (np.full(len(tokens), np.nan, np.float32), "finite numbers"),
        (idf(len(tokens) + 2), "weights past the 143 tokens"),
    ):
        with pytest.raises(EncoderError, match=message):
            save_router_layout(str(source), tmp_path / "saved", query_weights=weights)
    with pytest.raises(CheckpointError, match="is not a directory"):
        save_router_layout(str(tmp_path / "nowhere"), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_command(write_splade, tmp_path):
    checkpoint = write_splade(tmp_path / "checkpoint")
    table = tmp_path / "idf.json"
    table.write_text(json.dumps({"red": 2.5, "planet": 1.5}))
    arguments = [str(checkpoint), "-o", str(tmp_path / "saved")]
    with pytest.raises(EncoderError, match="query weights"):
        CliRunner().invoke(export_router, arguments, catch_exceptions=False)
    arguments += ["--query-weights", str(table)]
    answer = CliRunner().invoke(export_router, arguments, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    side = create("splade", str(tmp_path / "saved")).query_side()
    red = WordPieceTokenizer(side.tokenizer_json or b"").id("red")
    assert side.table is not None
    assert side.table[red] == 2.5
