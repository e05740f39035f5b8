"""CSR directories give the codes of sentence-transformers; whatever does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from encoders.base import Document, SparseRows
from encoders.csr_layout import read_csr_checkpoint
from encoders.errors import CheckpointError, EncoderError
from encoders.registry import create_encoder

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")
transformers = pytest.importorskip("transformers", reason="needs the [encode] extra")

TEXTS = ["what is the weather in new york now", "mars", "red planet " * 20, "rank ?"]
WIDTH, ATOMS, K = 32, 96, 7
FOLDER = "2_SparseAutoEncoder"


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def write_csr(write_tokenizer, tokens):
    def write(
        directory: Path, *, normalize: bool = False, pooling: Any = None, prompts: Any = None, **sae
    ) -> Path:
        torch.manual_seed(2)
        config = transformers.BertConfig(
            vocab_size=len(tokens),
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
        transformers.BertModel(config).save_pretrained(directory)
        write_tokenizer(directory)
        number = 3 if normalize else 2
        kinds = [("", "models.Transformer"), ("1_Pooling", "models.Pooling")]
        if normalize:
            kinds.append(("2_Normalize", "models.Normalize"))
            (directory / "2_Normalize").mkdir()
        folder = f"{number}_SparseAutoEncoder"
        kinds.append((folder, "sparse_encoder.models.SparseAutoEncoder"))
        write_json(
            directory / "modules.json",
            [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{kind}"}
                for i, (path, kind) in enumerate(kinds)
            ],
        )
        whole = {"model_type": "SparseEncoder", "prompts": prompts or {}}
        write_json(directory / "config_sentence_transformers.json", whole)
        mean = {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True}
        write_json(directory / "1_Pooling/config.json", pooling or mean)
        settings = {"input_dim": WIDTH, "hidden_dim": ATOMS, "k": K, "k_aux": 16}
        write_json(directory / folder / "config.json", settings | {"normalize": False} | sae)
        generator = np.random.default_rng(3)
        tensors = {
            "decoder.linear.weight": generator.normal(0, 0.3, (ATOMS, WIDTH)),
            "pre_bias": generator.normal(0, 0.1, WIDTH),
            "latent_bias": generator.normal(-0.2, 0.1, ATOMS),
        }
        arrays = {name: array.astype(np.float32) for name, array in tensors.items()}
        arrays["stats_last_nonzero"] = np.zeros(ATOMS, np.int64)
        save_file(arrays, directory / folder / "model.safetensors", metadata={"format": "pt"})
        return directory

    return write


def create(directory: Path) -> Any:
    return create_encoder("sae", f"{directory}?neural_queries=true", device="cpu")


def documents(texts: list[str]) -> list[Document]:
    return [Document(str(i), text) for i, text in enumerate(texts)]


def dense(rows: SparseRows) -> np.ndarray:
    matrix = np.zeros((len(rows), ATOMS), np.float32)
    row_of = np.repeat(np.arange(len(rows)), np.diff(rows.indptr))
    matrix[row_of, rows.dimensions] = rows.weights
    return matrix


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"normalize": True},
        {"pooling": {"embedding_dimension": WIDTH, "pooling_mode": "cls"}},
        {"pooling": {"embedding_dimension": WIDTH, "pooling_mode": ["max"]}},
        {"prompts": {"document": "passage: ", "query": "query: "}},
    ],
    ids=["mean", "length 1", "cls", "max", "prompts"],
)
@pytest.mark.parametrize("standardize", [False, True])
def test_codes_are_those_of_sentence_transformers(tmp_path, write_csr, settings, standardize):
    peers = pytest.importorskip("sentence_transformers", reason="gives the codes to compare")
    directory = write_csr(tmp_path, **settings)
    if standardize:
        path = next(directory.glob("*_SparseAutoEncoder")) / "config.json"
        write_json(path, json.loads(path.read_text()) | {"normalize": True})
    peer = peers.SparseEncoder(str(directory), device="cpu")
    encoder = create(directory)
    rows = encoder.encode_documents(documents(TEXTS))
    assert 0 < np.diff(rows.indptr).min() <= np.diff(rows.indptr).max() <= K
    expected = peer.encode_document(TEXTS).to_dense().numpy()
    np.testing.assert_allclose(dense(rows), expected, atol=1e-4)
    expected = peer.encode_query(TEXTS).to_dense().numpy()
    np.testing.assert_allclose(dense(encoder.encode_queries(TEXTS)), expected, atol=1e-4)


def test_a_directory_that_sentence_transformers_saved(tmp_path, write_csr):
    peers = pytest.importorskip("sentence_transformers", reason="writes the directory")
    peer = peers.SparseEncoder(str(write_csr(tmp_path / "first", normalize=True)), device="cpu")
    peer.save(str(tmp_path / "saved"))
    rows = create(tmp_path / "saved").encode_documents(documents(TEXTS))
    expected = peer.encode_document(TEXTS).to_dense().numpy()
    np.testing.assert_allclose(dense(rows), expected, atol=1e-4)


def test_rows_do_not_depend_on_the_batch(tmp_path, write_csr):
    encoder = create(write_csr(tmp_path))
    together = dense(encoder.encode_documents(documents(TEXTS)))
    for text, row in zip(TEXTS, together, strict=True):
        alone = dense(encoder.encode_documents(documents([text])))
        np.testing.assert_allclose(alone[0], row, atol=1e-5)


def test_any_text_gives_a_valid_row(tmp_path, write_csr):
    encoder = create(write_csr(tmp_path))
    texts = [
        "",
        " \n\t",
        "red\0planet \x07\x1b",
        "\ud83d half",
        "red planet " * 50_000,
        "x" * 100_000,
    ]
    rows = encoder.encode_documents(documents(texts))
    lengths = np.diff(rows.indptr)
    assert lengths[:2].tolist() == [0, 0]
    assert (lengths[2:] > 0).all()
    assert np.isfinite(rows.weights).all()
    assert (rows.weights > 0).all()
    for start, end in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        assert (np.diff(rows.dimensions[start:end].astype(int)) > 0).all()
    assert len(encoder.encode_documents([])) == 0


def test_its_spec_makes_it_again(tmp_path, write_csr):
    spec = create(write_csr(tmp_path)).spec
    assert (spec.kind, spec.vocabulary) == ("sae", ATOMS)
    assert create_encoder("sae", str(tmp_path), **spec.parameters).spec == spec
    with pytest.raises(CheckpointError, match="not the checkpoint that was recorded: k is 7"):
        create_encoder("sae", str(tmp_path), **(dict(spec.parameters) | {"k": 8}))
    older = {key: value for key, value in spec.parameters.items() if key != "max_length"}
    assert create_encoder("sae", str(tmp_path), **older).spec == spec
    write_json(tmp_path / "sentence_bert_config.json", {"max_seq_length": 9})
    with pytest.raises(CheckpointError, match="recorded: max_length is 9, not 24"):
        create_encoder("sae", str(tmp_path), **spec.parameters)


def test_queries_by_a_network_have_to_be_asked_for(tmp_path, write_csr):
    directory = write_csr(tmp_path)
    with pytest.raises(EncoderError, match=r"queries need the network .*neural_queries=true"):
        create_encoder("sae", str(directory))
    with pytest.raises(EncoderError, match="cannot read the setting 'atoms'"):
        create_encoder("sae", f"{directory}?atoms=3")
    encoder = create(directory)
    with pytest.raises(EncoderError, match="an index answers queries without one"):
        encoder.query_side()
    with pytest.raises(EncoderError, match="an index answers queries without one"):
        encoder.count_tokens(documents(["mars"]))


def changed(directory: Path, place: str, **changes: Any) -> None:
    path = directory / place / "model.safetensors"
    tensors = load_file(path) | changes
    kept = {name: array for name, array in tensors.items() if array is not None}
    save_file(kept, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        (FOLDER, {"latent_bias": None}, r"missing tensors \(1\): latent_bias"),
        (
            FOLDER,
            {"decoder.linear.weight": None},
            r"missing tensors \(1\): decoder\.linear\.weight",
        ),
        (FOLDER, {"other": np.ones(3, np.float32)}, r"no place for \(1\): other"),
        (FOLDER, {"pre_bias": np.ones(3, np.float32)}, r"pre_bias \[3\] instead of \[32\]"),
        (FOLDER, {"pre_bias": np.full(WIDTH, np.nan, np.float32)}, "'pre_bias' holds NaN"),
        (FOLDER, {"encoder.weight": np.ones((ATOMS, WIDTH), np.float32)}, "one matrix and differ"),
        (
            "",
            {"encoder.layer.1.output.dense.weight": None},
            r"missing tensors .*bert\.encoder\.layer",
        ),
        ("", {"cls.bias": np.ones(3, np.float32)}, r"no place for \(1\): bert\.cls\.bias"),
        ("", {"embeddings.LayerNorm.bias": np.full(WIDTH, np.inf, np.float32)}, "holds NaN or inf"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, write_csr, place, changes, message):
    directory = write_csr(tmp_path)
    changed(directory, place, **changes)
    with pytest.raises(CheckpointError, match=message):
        create(directory)


@pytest.mark.parametrize("place", ["", FOLDER])
def test_truncated_weights_are_refused(tmp_path, write_csr, place):
    path = write_csr(tmp_path) / place / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read.*truncated"):
        create(tmp_path)


def test_a_tokenizer_of_another_model(tmp_path, write_csr, write_tokenizer, tokens):
    directory = write_csr(tmp_path)
    write_tokenizer(directory, [*tokens, "extra"])
    with pytest.raises(CheckpointError, match="144 tokens, but the model only 143 vocabulary"):
        create(directory)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", [], "its modules are none, expected Transformer > Pooling"),
        ("modules.json", [{"path": ""}], "list of modules with path and type"),
        (f"{FOLDER}/config.json", {"hidden_dim": ATOMS}, "input_dim must be a whole number from 1"),
        (f"{FOLDER}/config.json", {"input_dim": WIDTH, "hidden_dim": 5, "k": 6}, "1 to 5, got 6"),
        (f"{FOLDER}/config.json", {"input_dim": 5, "normalize": "yes"}, "must be true or false"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "'max', got 'lasttoken'"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "max"]}, "must be 'mean', 'cls' or"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "feature-extraction"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit_are_named(tmp_path, write_csr, file, content, message):
    directory = write_csr(tmp_path)
    write_json(directory / file, content)
    with pytest.raises(CheckpointError, match=message):
        read_csr_checkpoint(directory)


@pytest.mark.parametrize("value", [None, "x", -1, 0, 1.5, True, [], {}, 1 << 70], ids=repr)
def test_any_value_of_a_setting_loads_or_is_named(tmp_path, write_csr, value):
    directory = write_csr(tmp_path)
    for path in directory.rglob("*config*.json"):
        content = json.loads(path.read_text())
        for key in content.keys() - {"num_hidden_layers"}:
            write_json(path, content | {key: value})
            try:
                rows = create(directory).encode_documents(documents(["mars"]))
            except EncoderError:
                continue
            assert np.isfinite(rows.weights).all()
        write_json(path, content)


def test_widths_of_modules_that_differ(tmp_path, write_csr):
    with pytest.raises(CheckpointError, match="input_dim 16, the Transformer makes some of 32"):
        create(write_csr(tmp_path, input_dim=16))
