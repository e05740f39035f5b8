"""GTE through the class that transformers has of its own: stored in other pieces than modelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document
from encoders.errors import CheckpointError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")
transformers = pytest.importorskip("transformers", reason="needs the [encode] extra")
if not hasattr(transformers, "GteForMaskedLM"):
    pytest.skip("this transformers has no GTE", allow_module_level=True)

from safetensors.torch import load_file, save_file  # noqa: E402

from encoders.splade import create  # noqa: E402

TEXTS = ["what is the weather in new york now", "mars", "red planet " * 20]


@pytest.fixture(scope="module")
def model(tokens):
    torch.manual_seed(7)
    config = transformers.GteConfig(
        vocab_size=len(tokens) + 6,  # padded past the tokenizer, as the published one is
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=128,
        pad_token_id=0,
        initializer_range=0.3,
    )
    model = transformers.GteForMaskedLM(config).eval()
    with torch.no_grad():
        model.get_output_embeddings().bias.normal_(-1, 1)
    return model


@pytest.fixture
def directory(model, write_tokenizer, tmp_path) -> Path:
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    return tmp_path


def rewrite(directory: Path, tensors: dict) -> None:
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        directory / "model.safetensors",
        metadata={"format": "pt"},
    )


def assert_rows_of(model, directory: Path) -> None:
    encoder = create("splade", str(directory), zero_special_tokens=False)
    rows = encoder.encode_documents([Document(str(i), text) for i, text in enumerate(TEXTS)])
    for number, ids in enumerate(encoder.tokenizers.encode(TEXTS)):
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits
        expected = logits.amax(1).relu().log1p()[0].numpy()
        found = np.zeros_like(expected)
        span = slice(rows.indptr[number], rows.indptr[number + 1])
        found[rows.dimensions[span]] = rows.weights[span]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert 0 < np.count_nonzero(expected) < len(expected)


def test_rows_are_those_of_transformers(model, directory):
    stored = load_file(directory / "model.safetensors")
    assert "gte.encoder.layer.0.attention.qkv_proj.weight" in stored
    assert_rows_of(model, directory)


def test_rows_are_those_of_sentence_transformers(directory):
    peers = pytest.importorskip("sentence_transformers", reason="gives the vectors to compare")
    expected = peers.SparseEncoder(str(directory), device="cpu").encode_document(TEXTS)
    encoder = create("splade", str(directory), zero_special_tokens=False)
    rows = encoder.encode_documents([Document(str(i), text) for i, text in enumerate(TEXTS)])
    found = np.zeros(expected.shape, np.float32)
    found[np.repeat(np.arange(len(rows)), np.diff(rows.indptr)), rows.dimensions] = rows.weights
    np.testing.assert_allclose(found, expected.to_dense().numpy(), atol=1e-5)


def test_names_of_the_first_release(model, directory):
    """Checkpoints from before transformers had the class call the body 'new'."""
    stored = load_file(directory / "model.safetensors")
    rewrite(directory, {name.replace("gte.", "new.", 1): t for name, t in stored.items()})
    assert_rows_of(model, directory)


def test_names_of_the_model_itself(model, directory):
    tied = "lm_head.decoder.weight"
    rewrite(directory, {n: t for n, t in model.state_dict().items() if n != tied})
    assert_rows_of(model, directory)


def test_a_stack_of_another_height_is_named(directory):
    stored = load_file(directory / "model.safetensors")
    name = "gte.encoder.layer.1.attention.qkv_proj.weight"
    rewrite(directory, stored | {name: stored[name][:-1]})
    with pytest.raises(CheckpointError, match=r"no place for .*layers\.1\.self_attn\.qkv_proj"):
        create("splade", str(directory))
    rewrite(directory, stored | {name: stored[name][:-3]})
    with pytest.raises(CheckpointError, match=r"layers\.1\.self_attn\.k_proj\.weight \[31, 32\]"):
        create("splade", str(directory))
    rewrite(directory, stored | {"new." + name.partition(".")[2]: stored[name].clone()})
    with pytest.raises(CheckpointError, match=r"'gte\.layers\.1\.self_attn\.q_proj\.weight' a sec"):
        create("splade", str(directory))
