"""GTE under the names of its first release: the rows of an independent network in numpy."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from encoders.base import Document
from encoders.errors import CheckpointError, EncoderError
from encoders.gte import gte_settings

Tensors = dict[str, np.ndarray]

TEXTS = ["what is the weather in new york now", "mars", "red planet " * 9, "rank ?"]


def written(directory: Path) -> tuple[dict[str, Any], Tensors]:
    config = json.loads((directory / "config.json").read_text())
    return config, load_file(directory / "model.safetensors")


def create(directory: Path, **settings: Any) -> Any:
    pytest.importorskip("torch", reason="needs the [encode] extra")
    transformers = pytest.importorskip("transformers", reason="needs the [encode] extra")
    if not hasattr(transformers, "GteForMaskedLM"):
        pytest.skip("this transformers has no GTE")
    from encoders.splade import create as create_splade

    return create_splade("splade", str(directory), **settings)


@pytest.mark.torch
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rope_scaling": None},
        {"rope_scaling": {"factor": 8.0, "type": "ntk"}, "type_vocab_size": 1},
        {"rope_scaling": {"factor": 1, "type": "ntk"}, "rope_theta": 160000.0},
        {"pack_qkv": False, "type_vocab_size": 2},
    ],
    ids=["ntk", "no scaling", "token types", "factor of one", "three matrices"],
)
def test_rows_are_those_of_the_reference(tmp_path, write_gte, settings):
    """All texts in one batch, so that the shorter ones have padding behind them."""
    config, tensors = written(write_gte(tmp_path, **settings))
    encoder = create(tmp_path, zero_special_tokens=False)
    rows = encoder.encode_documents([Document(str(i), text) for i, text in enumerate(TEXTS)])
    for number, ids in enumerate(encoder.tokenizers.encode(TEXTS)):
        expected = np.log1p(np.maximum(logits(config, tensors, ids).max(0), 0))
        found = np.zeros_like(expected)
        span = slice(rows.indptr[number], rows.indptr[number + 1])
        found[rows.dimensions[span]] = rows.weights[span]
        np.testing.assert_allclose(found, expected, atol=2e-5)
        assert 0 < np.count_nonzero(expected) < len(expected)


@pytest.mark.torch
def test_states_do_not_depend_on_padding(tmp_path, write_gte):
    torch = pytest.importorskip("torch", reason="needs the [encode] extra")
    model = create(write_gte(tmp_path)).language_model
    ids = torch.arange(20)[None]
    padded, mask = ids.clone(), torch.ones_like(ids)
    padded[:, 12:], mask[:, 12:] = 0, 0
    with torch.inference_mode():
        alone = model.hidden(ids[:, :12], mask[:, :12])
        torch.testing.assert_close(model.hidden(padded, mask)[:, :12], alone, atol=1e-5, rtol=0)


@pytest.mark.torch
def test_saved_and_exported_ones_give_the_same_rows(tmp_path, write_gte, tokens):
    pytest.importorskip("onnx", reason="needs the [encode] extra")
    from encoders.onnx_export import export_encoder
    from encoders.router_layout import save_router_layout

    encoder = create(write_gte(tmp_path / "first"), device="cpu")
    documents = [Document(str(i), text) for i, text in enumerate(TEXTS)]
    expected = encoder.encode_documents(documents)
    weights = np.ones(len(tokens), np.float32)
    save_router_layout(str(tmp_path / "first"), tmp_path / "saved", query_weights=weights)
    rows = create(tmp_path / "saved", device="cpu").encode_documents(documents)
    np.testing.assert_array_equal(rows.weights, expected.weights)
    export_encoder(tmp_path / "first", tmp_path / "exported")
    rows = create(tmp_path / "exported").encode_documents(documents)
    np.testing.assert_array_equal(rows.dimensions, expected.dimensions)
    np.testing.assert_allclose(rows.weights, expected.weights, atol=2e-5)


@pytest.mark.torch
def test_every_tensor_is_needed(tmp_path, write_gte):
    directory = write_gte(tmp_path, num_hidden_layers=1)
    _, tensors = written(directory)
    for name in tensors:
        rest = {other: tensor for other, tensor in tensors.items() if other != name}
        save_file(rest, directory / "model.safetensors")
        with pytest.raises(CheckpointError, match=r"missing tensors \(\d\): (gte|lm_head)\."):
            create(directory)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("new.pooler.dense.weight", r"no place for \(1\): gte\.pooler\.dense\.weight"),
        ("new.embeddings.position_embeddings.weight", "no place for .*position_embeddings"),
        ("new.encoder.layer.2.attn_ln.weight", r"no place for .*layers\.2\."),
    ],
)
def test_a_surplus_tensor_is_named(tmp_path, write_gte, name, message):
    directory = write_gte(tmp_path)
    _, tensors = written(directory)
    save_file(tensors | {name: np.ones((32, 32), np.float32)}, directory / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        create(directory)


@pytest.mark.torch
@pytest.mark.parametrize("value", [None, "x", -1, 0, 1.5, True, [], {}, 1 << 70], ids=repr)
def test_any_value_of_a_setting_loads_or_is_named(tmp_path, write_gte, value):
    config, _ = written(write_gte(tmp_path))
    for key in config.keys() - {"num_hidden_layers"}:
        (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
        try:
            rows = create(tmp_path, device="cpu").encode_documents([Document("1", "mars")])
        except EncoderError:
            continue
        assert np.isfinite(rows.weights).all()


@pytest.mark.torch
def test_weights_that_are_not_numbers_are_named(tmp_path, write_gte):
    directory = write_gte(tmp_path)
    _, tensors = written(directory)
    tensors["new.encoder.layer.1.mlp.up_gate_proj.weight"][7, 3] = np.nan
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"layer\.1\.mlp\.up_gate_proj\.weight' holds NaN"):
        create(directory)


@pytest.mark.torch
def test_truncated_weights_are_refused(tmp_path, write_gte):
    path = write_gte(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read.*truncated"):
        create(tmp_path)


@pytest.mark.torch
def test_a_vocabulary_that_does_not_fit_is_named(tmp_path, write_gte, write_tokenizer, tokens):
    directory = write_gte(tmp_path)
    config, _ = written(directory)
    write_tokenizer(directory, [*tokens, *(f"extra{i}" for i in range(7))])
    with pytest.raises(CheckpointError, match=r"150 tokens, but the model only 149 vocabulary"):
        create(directory)
    write_tokenizer(directory)
    (directory / "config.json").write_text(json.dumps(config | {"vocab_size": 500}))
    with pytest.raises(CheckpointError, match=r"\[149, 32\] instead of \[500, 32\]"):
        create(directory)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"position_embedding_type": "absolute"}, "position_embedding_type must be 'rope'"),
        ({"layer_norm_type": "rms_norm"}, "layer_norm_type must be 'layer_norm', got 'rms_norm'"),
        ({"logn_attention_scale": True}, "logn_attention_scale must be False, got True"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, "must be null or of type 'ntk'"),
        ({"rope_scaling": {"type": "ntk", "factor": 2, "mixed_b": 0.6}}, "without mixed_b"),
        ({"rope_scaling": "ntk"}, "must be null or of type 'ntk'"),
        ({"rope_scaling": {"type": "ntk"}}, r"factor must be a number from 1 to 1e\+12, got None"),
        ({"rope_scaling": {"type": "ntk", "factor": 0.5}}, "factor must be a number from 1"),
        ({"rope_theta": "much"}, r"rope_theta must be a number from 1 to 1e\+12, got 'much'"),
        ({"rope_theta": 0}, "rope_theta must be a number"),
        ({"rope_theta": float("inf")}, "rope_theta must be a number"),
        ({"rope_theta": float("nan")}, "rope_theta must be a number"),
        ({"rope_theta": 10**400}, "rope_theta must be a number"),
        ({"rope_theta": True}, "rope_theta must be a number"),
        (
            {"num_attention_heads": 0, "rope_scaling": {"type": "ntk", "factor": 2}},
            "num_attention_heads must be a whole number from 1, got 0",
        ),
    ],
)
def test_settings_of_other_networks_are_refused(settings, message):
    with pytest.raises(CheckpointError, match=message):
        gte_settings({"model_type": "new"} | settings)


def test_how_the_first_code_computes_is_passed_over():
    plain = gte_settings({"model_type": "new", "rope_theta": 160000})
    ways = {"unpad_inputs": True, "use_memory_efficient_attention": True, "pack_qkv": False}
    assert gte_settings({"model_type": "new", "rope_theta": 160000} | ways) == plain
    assert plain["model_type"] == "gte"


def logits(config: dict[str, Any], tensors: Tensors, ids: Sequence[int]) -> np.ndarray:
    """float64[L, V] of one text, with nothing packed and no padding."""
    weights = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    eps = config["layer_norm_eps"]

    def linear(name: str, states: np.ndarray) -> np.ndarray:
        return states @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)

    def norm(name: str, states: np.ndarray) -> np.ndarray:
        centred = states - states.mean(1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + eps)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    embeddings = weights["new.embeddings.word_embeddings.weight"]
    states = embeddings[list(ids)]
    if config["type_vocab_size"]:
        states = states + weights["new.embeddings.token_type_embeddings.weight"][0]
    states = norm("new.embeddings.LayerNorm", states)
    frequencies = rotary_frequencies(config)
    heads = config["num_attention_heads"]
    for number in range(config["num_hidden_layers"]):
        layer = f"new.encoder.layer.{number}"
        if config["pack_qkv"]:
            parts = np.split(linear(f"{layer}.attention.qkv_proj", states), 3, axis=1)
        else:
            parts = [linear(f"{layer}.attention.{which}_proj", states) for which in "qkv"]
        queries, keys, values = (np.split(part, heads, axis=1) for part in parts)
        mixed = [
            softmax(rotated(q, frequencies) @ rotated(k, frequencies).T / math.sqrt(q.shape[1])) @ v
            for q, k, v in zip(queries, keys, values, strict=True)
        ]
        attended = linear(f"{layer}.attention.o_proj", np.concatenate(mixed, axis=1))
        states = norm(f"{layer}.attn_ln", states + attended)
        up, gate = np.split(linear(f"{layer}.mlp.up_gate_proj", states), 2, axis=1)
        states = norm(f"{layer}.mlp_ln", states + linear(f"{layer}.mlp.down_proj", gelu(gate) * up))
    head = norm("lm_head.norm", gelu(linear("lm_head.dense", states)))
    return head @ embeddings.T + weights["lm_head.decoder.bias"]


def rotary_frequencies(config: dict[str, Any]) -> np.ndarray:
    """Radians per position of each pair of dimensions."""
    width = config["hidden_size"] // config["num_attention_heads"]
    scale = (config["rope_scaling"] or {"factor": 1.0})["factor"]
    pairs = np.arange(width // 2)
    return config["rope_theta"] ** (-2.0 * pairs / width) * scale ** (-2.0 * (pairs + 1) / width)


def rotated(vectors: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Pair i is dimensions i and i + d/2, as a complex number turned by its angle."""
    half = vectors.shape[1] // 2
    angles = np.arange(len(vectors))[:, None] * frequencies
    turned = (vectors[:, :half] + 1j * vectors[:, half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=1)


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def gelu(states: np.ndarray) -> np.ndarray:
    return states * 0.5 * (1 + np.vectorize(math.erf)(states / math.sqrt(2)))
