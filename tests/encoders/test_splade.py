"""Synthetic checkpoints of every layout give the vectors of sentence-transformers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document, DocumentEncoder, SparseRows
from encoders.errors import CheckpointError, EncoderError

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

from encoders.splade import SpladeEncoder, create  # noqa: E402

WORDS = "the red planets of searching engines what weather new yorker indexed xylophone 42 ?"
TEXTS = [
    "What's the weather in New York now?",
    "",
    "mars",
    " ".join(random.Random(1).choices(WORDS.split(), k=60)),
    "a model of words, dense and sparse: état, 漢字, 🙂!",
    *(" ".join(random.Random(n).choices(WORDS.split(), k=n)) for n in range(2, 40, 3)),
]


def documents(texts: list[str]) -> list[Document]:
    return [Document(str(number), text) for number, text in enumerate(texts)]


def dense(rows: SparseRows, size: int) -> np.ndarray:
    matrix = np.zeros((len(rows), size), dtype=np.float32)
    for i in range(len(rows)):
        span = slice(rows.indptr[i], rows.indptr[i + 1])
        assert (np.diff(rows.dimensions[span].astype(int)) > 0).all()
        matrix[i, rows.dimensions[span]] = rows.weights[span]
    return matrix


def peer(directory: Path):
    sentence_transformers = pytest.importorskip(
        "sentence_transformers", reason="needs sentence-transformers, which gives the vectors"
    )
    return sentence_transformers.SparseEncoder(str(directory), device="cpu")


def assert_equal_to_peer(directory: Path, **options) -> None:
    encoder = create("splade", str(directory), zero_special_tokens=False, **options)
    model = peer(directory)
    expected = model.encode_document(TEXTS, convert_to_tensor=True).to_dense().numpy()
    found = dense(encoder.encode_documents(documents(TEXTS)), encoder.spec.vocabulary)
    assert (expected > 0).any(axis=1).all()
    assert (expected == 0).any()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert max(encoder.token_lengths(TEXTS)) > encoder.spec.max_length == model.max_seq_length


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize(("generation", "at_root"), [(5, True), (5, False), (6, False)])
def test_router_layout_gives_the_vectors_of_sentence_transformers(
    write_router, tmp_path, architecture, activation, generation, at_root
):
    directory = write_router(
        tmp_path,
        architecture=architecture,
        activation=activation,
        generation=generation,
        at_root=at_root,
    )
    assert_equal_to_peer(directory)


@pytest.mark.parametrize(
    ("activation", "strategy"), [("relu", "max"), ("log1p_relu", "max"), ("relu", "sum")]
)
def test_splade_layout_gives_the_vectors_of_sentence_transformers(
    write_splade, tmp_path, activation, strategy
):
    assert_equal_to_peer(write_splade(tmp_path, activation, strategy))


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_plain_directory_gives_the_vectors_of_sentence_transformers(
    write_masked_lm, tmp_path, architecture
):
    assert_equal_to_peer(write_masked_lm(tmp_path, architecture))


def test_checkpoint_saved_by_sentence_transformers_loads(write_router, tmp_path):
    peer(write_router(tmp_path / "first")).save(str(tmp_path / "saved"))
    assert_equal_to_peer(tmp_path / "saved")


def test_document_prompt_is_put_in_front(write_splade, tmp_path):
    directory = write_splade(tmp_path)
    path = directory / "config_sentence_transformers.json"
    settings = json.loads(path.read_text()) | {"prompts": {"document": "rank: ", "query": "q "}}
    path.write_text(json.dumps(settings))
    assert_equal_to_peer(directory)


def test_lower_casing_of_sentence_bert_config(write_splade, tmp_path):
    directory = write_splade(tmp_path)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_lower_case": False}))
    (directory / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 16, "do_lower_case": True})
    )
    assert_equal_to_peer(directory)


@pytest.mark.parametrize(
    "architecture",
    ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"],
)
def test_settings_under_the_names_of_early_releases(write_splade, tmp_path, architecture):
    directory = write_splade(tmp_path)
    (directory / "sentence_bert_config.json").rename(
        directory / f"sentence_{architecture}_config.json"
    )
    assert_equal_to_peer(directory)
    assert create("splade", str(directory)).spec.max_length == 16


def test_tokenizer_config_wins_over_tokenizer_json(write_masked_lm, tmp_path):
    directory = write_masked_lm(tmp_path)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert_equal_to_peer(directory)


def test_batches_do_not_change_the_rows(write_masked_lm, tmp_path):
    directory = write_masked_lm(tmp_path)
    texts = documents(TEXTS * 3)
    encoder = create("splade", str(directory))
    whole = encoder.encode_documents(texts)
    small = create("splade", str(directory), batch_tokens=30).encode_documents(texts)
    size = encoder.spec.vocabulary
    np.testing.assert_allclose(dense(whole, size), dense(small, size), atol=1e-5)
    again = create("splade", str(directory)).encode_documents(texts)
    np.testing.assert_array_equal(whole.weights, again.weights)


def test_number_of_threads_does_not_change_a_bit_and_is_restored(write_masked_lm, tmp_path):
    import torch

    encoder = create("splade", str(write_masked_lm(tmp_path)), batch_tokens=60)
    before = torch.get_num_threads()
    try:
        rows = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            rows.append(encoder.encode_documents(documents(TEXTS)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in rows[1:]:
        np.testing.assert_array_equal(rows[0].indptr, other.indptr)
        np.testing.assert_array_equal(rows[0].weights, other.weights)


def test_special_tokens_are_zeroed_by_default(write_masked_lm, tmp_path):
    directory = write_masked_lm(tmp_path)
    kept = create("splade", f"{directory}?zero_special_tokens=false")
    zeroed = create("splade", str(directory))
    assert isinstance(zeroed, DocumentEncoder)
    everything = dense(kept.encode_documents(documents(TEXTS)), kept.spec.vocabulary)
    rows = zeroed.encode_documents(documents(TEXTS))
    assert everything[:, :5].any()
    everything[:, :5] = 0
    everything[1] = 0  # The empty text.
    np.testing.assert_array_equal(dense(rows, zeroed.spec.vocabulary), everything)
    assert rows.weights.dtype == np.float32
    assert rows.dimensions.dtype == np.uint32
    assert rows.indptr.dtype == np.int64


def test_no_documents_and_empty_documents(write_masked_lm, tmp_path):
    encoder = create("splade", str(write_masked_lm(tmp_path)))
    for texts in ([], [""], ["", " \n", "​"]):
        for rows in (encoder.encode_documents, encoder.count_tokens):
            result = rows(documents(texts))
            assert len(result) == len(texts)
            assert result.nnz == 0


def test_title_is_encoded_before_the_text(write_masked_lm, tmp_path):
    encoder = create("splade", str(write_masked_lm(tmp_path)))
    apart = encoder.encode_documents([Document("1", "red planet", title="mars")])
    joined = encoder.encode_documents([Document("1", "mars red planet")])
    np.testing.assert_array_equal(apart.weights, joined.weights)


def test_counts_are_of_the_whole_text_without_special_tokens(write_masked_lm, tmp_path, tokens):
    encoder = create("splade", str(write_masked_lm(tmp_path)))
    text = "planet searching planet [SEP] 漢 " + "red " * 100
    rows = encoder.count_tokens(documents(["", text]))
    counts = dict(zip((tokens[d] for d in rows.dimensions), rows.weights.tolist(), strict=True))
    # "[SEP]" in a text is its characters; the character that no token spells is not counted.
    assert counts == {
        "planet": 2,
        "search": 1,
        "##ing": 1,
        "red": 100,
        "s": 1,
        "##e": 1,
        "##p": 1,
    }
    assert rows.indptr.tolist() == [0, 0, 7]
    assert encoder.special_token_count == 2
    assert encoder.token_lengths(["", "red planet"]) == [2, 4]


def test_max_length_truncates_and_is_checked(write_masked_lm, tmp_path):
    directory = write_masked_lm(tmp_path)
    encoder = create("splade", f"{directory}?max_length=5")
    assert encoder.spec.max_length == 5
    short = encoder.encode_documents(documents(["red planet mars"]))
    long = encoder.encode_documents(documents(["red planet mars weather now"]))
    np.testing.assert_array_equal(short.weights, long.weights)
    with pytest.raises(EncoderError, match="at most 64 tokens, got max_length=65"):
        create("splade", f"{directory}?max_length=65")
    with pytest.raises(EncoderError, match="no room for text"):
        create("splade", f"{directory}?max_length=2")


def test_a_prompt_that_leaves_no_room_for_text_is_refused(write_splade, tmp_path):
    directory = write_splade(tmp_path)  # 16 tokens.
    path = directory / "config_sentence_transformers.json"
    for words, fits in ((13, True), (14, False), (40, False)):
        prompts = {"prompts": {"document": "rank " * words, "query": ""}}
        path.write_text(json.dumps(json.loads(path.read_text()) | prompts))
        if fits:
            encoder = create("splade", str(directory))
            assert np.diff(encoder.encode_documents(documents(["mars"])).indptr).all()
        else:
            message = f"max_length=16 leaves no room .*'rank rank.*take {words + 2} tokens"
            with pytest.raises(EncoderError, match=message):
                create("splade", str(directory))


def test_pruning_comes_from_the_option_or_the_configuration(write_masked_lm, tmp_path):
    directory = write_masked_lm(tmp_path)
    full = create("splade", str(directory)).encode_documents(documents(TEXTS[:1]))
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"sparse_prune_ratio": 0.5}))
    recorded = create("splade", str(directory))
    assert recorded.spec.parameters["prune"] == "max_ratio:0.5"
    kept = recorded.encode_documents(documents(TEXTS[:1])).weights
    np.testing.assert_array_equal(kept, full.weights[full.weights > full.weights.max() * 0.5])
    assert 0 < len(kept) < full.nnz
    three = create("splade", f"{directory}?prune=top_k:3").encode_documents(documents(TEXTS))
    assert np.diff(three.indptr).max() == 3
    unpruned = create("splade", f"{directory}?prune=none")
    assert unpruned.encode_documents(documents(TEXTS[:1])).nnz == full.nnz


def test_published_query_weights_equal_those_of_sentence_transformers(
    write_router, tmp_path, tokens
):
    weights = np.random.default_rng(3).normal(2, 2, len(tokens)).astype(np.float32)
    directory = write_router(tmp_path, weights=weights)
    side = SpladeEncoder(directory).query_side()
    assert side.analyzer == "wordpiece"
    assert (
        side.tokenizer_json
        == (directory / "query_0_SparseStaticEmbedding" / "tokenizer.json").read_bytes()
    )
    queries = peer(directory).encode_query(tokens[5:], convert_to_tensor=True)
    expected = queries.to_dense().numpy().max(axis=0).clip(min=0)
    expected[:5] = 0
    present = expected > 0
    np.testing.assert_allclose(side.table[present], expected[present])
    assert present.sum() > 50


def test_query_weights_in_order_of_priority(write_router, write_masked_lm, tmp_path, tokens):
    def source(directory: Path) -> object:
        return create("splade", str(directory)).spec.parameters["query_weights"]

    router = write_router(tmp_path / "router")
    plain = write_masked_lm(tmp_path / "plain")
    assert source(plain) == "idf of the indexed collection"
    assert create("splade", str(plain)).query_side().table is None
    with pytest.raises(EncoderError, match="publishes no query weights"):
        create("splade", f"{plain}?query_table=published")
    for directory in (router, plain):
        (directory / "idf.json").write_text(json.dumps({"planet": 2.5, "red": 1.5}))
    assert source(plain) == "idf.json"
    (plain / "query_token_weights.txt").write_text("planet\t3.5\n")
    assert source(plain) == "query_token_weights.txt"
    assert create("splade", str(plain)).query_side().table[tokens.index("planet")] == 3.5
    assert source(router) == "query_0_SparseStaticEmbedding/model.safetensors"
    for choice, content_only in (("corpus", False), ("content", True)):
        encoder = create("splade", f"{router}?query_table={choice}")
        assert encoder.query_side().table is None
        assert encoder.query_side().content_only is content_only
        assert encoder.spec.parameters["query_table"] == choice


def test_spec_makes_the_encoder_again_and_notices_another_checkpoint(write_masked_lm, tmp_path):
    first = write_masked_lm(tmp_path / "first", "bert")
    spec = create("splade", f"{first}?prune=top_k:9&activation=log1p_relu").spec
    assert create(spec.name, str(first), **spec.parameters).spec == spec
    second = write_masked_lm(tmp_path / "second", "distilbert")
    with pytest.raises(CheckpointError, match="not the checkpoint that was recorded"):
        create(spec.name, str(second), **spec.parameters)


def test_a_learned_table_may_count_repeated_tokens(write_masked_lm, tmp_path):
    """Li-LSR: a plain directory with the table of its query encoder, and ``aggregation=sum``."""
    from indexer.builder import build
    from retriever.searcher import open_index

    directory = write_masked_lm(tmp_path / "checkpoint")
    (directory / "query_token_weights.txt").write_text("mars\t2.5\nplanet\t0.5\n")
    for aggregation, times in (("binary", 1), ("sum", 3)):
        index = tmp_path / aggregation
        build(
            documents(TEXTS + ["mars planet"] * 3),
            index,
            encoder=f"splade:{directory}?aggregation={aggregation}",
        )
        with open_index(index) as searcher:
            once, thrice = (
                {hit.doc_id: hit.score for hit in searcher.search(query, 20).hits}
                for query in ("mars", "mars mars mars")
            )
        assert once
        assert thrice == pytest.approx({doc_id: times * score for doc_id, score in once.items()})
