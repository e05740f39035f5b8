"""Queries by a SPLADE's network, for who asks for them, are those of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.base import Document, SparseRows
from encoders.errors import CheckpointError, EncoderError

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

import encoders.splade  # noqa: E402
from encoders.query_factors import QUERY_FACTORS  # noqa: E402
from encoders.splade import create  # noqa: E402

TEXTS = [
    "What's the weather in New York now?",
    "",
    "mars",
    "searching planets of the red index " * 8,
    "a model of words, dense and sparse: état, 漢字, 🙂!",
]
DOCUMENTS = [Document(str(number), text) for number, text in enumerate(TEXTS)]


def dense(rows: SparseRows, size: int) -> np.ndarray:
    matrix = np.zeros((len(rows), size), dtype=np.float32)
    matrix[np.repeat(np.arange(len(rows)), np.diff(rows.indptr)), rows.dimensions] = rows.weights
    return matrix


def rewrite(path: Path, **changes: Any) -> None:
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | changes))


def neural(directory: Path, **options: Any) -> Any:
    return create("splade", f"{directory}?neural_queries=true", device="cpu", **options)


def assert_equal_to_peer(directory: Path) -> None:
    """Both sides, and their scores."""
    peers = pytest.importorskip("sentence_transformers", reason="gives the vectors to compare")
    model = peers.SparseEncoder(str(directory), device="cpu")
    queries = model.encode_query(TEXTS, convert_to_tensor=True).to_dense().numpy()
    documents = model.encode_document(TEXTS, convert_to_tensor=True).to_dense().numpy()
    encoder = neural(directory, zero_special_tokens=False)
    found = dense(encoder.encode_queries(TEXTS), encoder.spec.vocabulary)
    assert (queries > 0).any(axis=1).all()
    assert (queries == 0).any()
    np.testing.assert_allclose(found, queries, atol=1e-4)
    rows = dense(encoder.encode_documents(DOCUMENTS), encoder.spec.vocabulary)
    np.testing.assert_allclose(rows, documents, atol=1e-4)


@pytest.fixture
def write_two_networks(write_router, write_masked_lm):
    """A Router with another network for queries, as efficient SPLADE has (arXiv 2207.03834)."""

    def write(directory: Path) -> Path:
        write_router(directory, architecture="distilbert", at_root=False)
        write_masked_lm(directory / "query_0_MLMTransformer", "bert", num_hidden_layers=1)
        rewrite(directory / "query_0_MLMTransformer/sentence_bert_config.json", max_seq_length=12)
        (directory / "query_1_SpladePooling").mkdir()
        pooling = {"pooling_strategy": "max", "activation_function": "log1p_relu"}
        rewrite(directory / "query_1_SpladePooling" / "config.json", **pooling)
        router = json.loads((directory / "router_config.json").read_text())
        ids = ["query_0_MLMTransformer", "query_1_SpladePooling"]
        documents = router["structure"]["document"]
        router["types"] = {name: router["types"][name] for name in documents} | dict(
            zip(ids, [router["types"][name] for name in documents], strict=True)
        )
        router["structure"]["query"] = ids
        (directory / "router_config.json").write_text(json.dumps(router))
        return directory

    return write


@pytest.mark.parametrize("prompts", [{}, {"query": "which ", "document": "rank: "}])
@pytest.mark.parametrize(
    ("activation", "strategy"), [("relu", "max"), ("log1p_relu", "max"), ("relu", "sum")]
)
def test_a_symmetric_checkpoint(write_splade, tmp_path, activation, strategy, prompts):
    directory = write_splade(tmp_path, activation, strategy)
    rewrite(directory / "config_sentence_transformers.json", prompts=prompts)
    assert_equal_to_peer(directory)


def test_a_plain_directory(write_masked_lm, tmp_path):
    assert_equal_to_peer(write_masked_lm(tmp_path))


@pytest.mark.parametrize("prompts", [{}, {"query": "which "}])
def test_a_router_with_two_networks(write_two_networks, tmp_path, prompts):
    directory = write_two_networks(tmp_path)
    rewrite(directory / "config_sentence_transformers.json", prompts=prompts)
    assert_equal_to_peer(directory)


def test_the_second_network_is_loaded_when_it_is_asked(write_two_networks, tmp_path, monkeypatch):
    directory = write_two_networks(tmp_path)
    loaded = []
    load = encoders.splade.load_masked_language_model

    def counting(*arguments: Any, **options: Any) -> Any:
        loaded.append(arguments)
        return load(*arguments, **options)

    monkeypatch.setattr(encoders.splade, "load_masked_language_model", counting)
    encoder = neural(directory)
    encoder.encode_documents(DOCUMENTS)
    assert len(loaded) == 1
    encoder.encode_queries(TEXTS)
    encoder.encode_queries(TEXTS)
    assert len(loaded) == 2
    (directory / "query_0_MLMTransformer" / "model.safetensors").unlink()
    again = neural(directory)
    with pytest.raises(CheckpointError, match="query_0_MLMTransformer has no weights"):
        again.encode_queries(TEXTS)


def test_a_second_network_that_does_not_fit_is_named(
    write_two_networks, write_tokenizer, tmp_path, tokens
):
    directory = write_two_networks(tmp_path)
    write_tokenizer(directory / "query_0_MLMTransformer", [*tokens[:-2], tokens[-1], tokens[-2]])
    with pytest.raises(CheckpointError, match=r"token id 141 is '##ly' in the documents'"):
        neural(directory).encode_queries(TEXTS)


def test_queries_by_a_network_have_to_be_asked_for(write_splade, write_router, tmp_path):
    symmetric = write_splade(tmp_path / "symmetric")
    for options in ("", "?neural_queries=false"):
        encoder = create("splade", f"{symmetric}{options}")
        with pytest.raises(EncoderError, match=r"ask for those .*neural_queries=true"):
            encoder.encode_queries(TEXTS)
    router = write_router(tmp_path / "router")
    with pytest.raises(EncoderError, match="by a table, as it was trained"):
        neural(router)


def test_an_index_asks_the_table_all_the_same(write_splade, tmp_path):
    from indexer.builder import build
    from retriever.searcher import open_index

    directory = write_splade(tmp_path / "checkpoint")
    scores = []
    for number, settings in enumerate(["", "?neural_queries=true"]):
        index = tmp_path / f"index{number}"
        build(DOCUMENTS, index, encoder=f"splade:{directory}{settings}")
        with open_index(index) as searcher:
            scores.append({hit.doc_id: hit.score for hit in searcher.search("red mars", 9).hits})
    assert scores[0]
    assert scores[0] == scores[1]
    first, second = create("splade", str(directory)), neural(directory)
    assert first.spec == second.spec
    assert first.query_side() == second.query_side()


def test_nothing_of_the_documents_side_is_in_a_query(write_splade, tmp_path, tokens):
    """Neither its pruning nor its query factors, which a product has once."""
    directory = write_splade(tmp_path)
    expected = dense(neural(directory).encode_queries(TEXTS), len(tokens))
    assert not expected[:, :5].any()  # Special tokens.
    assert not expected[1].any()  # The empty text.
    np.save(directory / QUERY_FACTORS, np.full(len(tokens), 2, np.float32))
    encoder = neural(directory, prune="top_k:2")
    np.testing.assert_array_equal(dense(encoder.encode_queries(TEXTS), len(tokens)), expected)
    rows = encoder.encode_documents(DOCUMENTS)
    assert np.diff(rows.indptr).max() == 2
    assert len(encoder.encode_queries([])) == 0


def test_published_splade_tiny(splade_tiny):
    assert_equal_to_peer(splade_tiny)
