"""Loading is strict: whatever does not fit is named, with the remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document
from encoders.errors import CheckpointError, EncoderError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

from safetensors.torch import load_file, save_file  # noqa: E402

from encoders.splade import create  # noqa: E402

TEXTS = [Document("1", "what is the weather in new york"), Document("2", "mars")]
EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"


@pytest.fixture(scope="session")
def plain(write_masked_lm, tmp_path_factory) -> Path:
    return write_masked_lm(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def copy(plain, tmp_path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "copy"))


def weights(directory: Path):
    return load_file(directory / "model.safetensors")


def rewrite(directory: Path, **changes) -> None:
    tensors = weights(directory) | changes
    kept = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, directory / "model.safetensors", metadata={"format": "pt"})


def rows(directory: Path):
    return create("splade", str(directory)).encode_documents(TEXTS)


def test_missing_tensor_is_named(copy):
    name = "bert.encoder.layer.1.output.dense.weight"
    rewrite(copy, **{name: None})
    with pytest.raises(CheckpointError, match=rf"missing tensors \(1\): {name}"):
        rows(copy)


def test_missing_vocabulary_head_is_named(copy):
    rewrite(copy, **{name: None for name in weights(copy) if name.startswith("cls.")})
    with pytest.raises(
        CheckpointError, match=r"missing tensors .*: cls\.predictions\.bias.*ForMaskedLM"
    ):
        rows(copy)


def test_unknown_tensor_is_named(copy):
    rewrite(copy, **{"bert.pooler.dense.weight": torch.zeros(32, 32)})
    with pytest.raises(CheckpointError, match=r"no place for \(1\): bert\.pooler\.dense\.weight"):
        rows(copy)


def test_vocabulary_of_another_size_is_named(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"vocab_size": 500}))
    expected = rf"{EMBEDDINGS} \[143, 32\] instead of \[500, 32\]"
    with pytest.raises(CheckpointError, match=expected):
        rows(copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(copy, value):
    tensor = weights(copy)[EMBEDDINGS].clone()
    tensor[7, 3] = value
    rewrite(copy, **{EMBEDDINGS: tensor})
    with pytest.raises(CheckpointError, match=f"{EMBEDDINGS}' holds NaN or infinite"):
        rows(copy)


def test_quantised_weights_are_refused(copy):
    rewrite(copy, **{EMBEDDINGS: weights(copy)[EMBEDDINGS].to(torch.int8)})
    with pytest.raises(CheckpointError, match=r"type torch\.int8; quantised"):
        rows(copy)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_refused(copy, share):
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read.*truncated"):
        rows(copy)


def test_pickled_weights_are_refused_with_the_conversion(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin, a pickle.*save_pretrained"):
        rows(copy)


def test_tied_weights_may_be_stored_twice_and_buffers_too(copy):
    expected = rows(copy)
    tensors = weights(copy)
    rewrite(
        copy,
        **{
            DECODER: tensors[EMBEDDINGS].clone(),
            "cls.predictions.decoder.bias": tensors["cls.predictions.bias"].clone(),
            "bert.embeddings.position_ids": torch.arange(64)[None],
        },
    )
    np.testing.assert_array_equal(rows(copy).weights, expected.weights)


def test_only_the_decoder_of_a_tied_pair_may_be_stored(copy):
    expected = rows(copy)
    rewrite(copy, **{DECODER: weights(copy)[EMBEDDINGS].clone(), EMBEDDINGS: None})
    np.testing.assert_array_equal(rows(copy).weights, expected.weights)


def test_tied_weights_that_differ_are_both_used(copy):
    decoder = weights(copy)[EMBEDDINGS].flip(0)
    rewrite(copy, **{DECODER: decoder})
    encoder = create("splade", str(copy))
    torch.testing.assert_close(encoder.language_model.weight, decoder)
    body = dict(encoder.language_model.body.named_parameters())[EMBEDDINGS]
    torch.testing.assert_close(body.data, weights(copy)[EMBEDDINGS])
    transformers = pytest.importorskip("transformers")
    model = transformers.BertForMaskedLM.from_pretrained(copy).eval()
    ids = torch.tensor(encoder.tokenizers.encode(["mars"]))
    with torch.inference_mode():
        expected = model(ids).logits.amax(1).relu().log1p()[0]
    found = encoder.encode_documents(TEXTS[1:])
    torch.testing.assert_close(
        torch.tensor(found.weights), expected[found.dimensions.astype(int)], atol=1e-5, rtol=0
    )


def test_names_of_old_bert_checkpoints(copy):
    expected = rows(copy)
    changes = {}
    for name, tensor in weights(copy).items():
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        changes |= {name: None, old.replace("LayerNorm.bias", "LayerNorm.beta"): tensor}
    rewrite(copy, **changes)
    assert any(name.endswith("gamma") for name in weights(copy))
    np.testing.assert_array_equal(rows(copy).weights, expected.weights)


def test_sharded_weights_load_and_a_missing_shard_is_named(copy):
    expected = rows(copy)
    tensors = weights(copy)
    names = sorted(tensors)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for shard, content in shards.items():
        save_file({name: tensors[name] for name in content}, copy / shard)
    weight_map = {name: shard for shard, content in shards.items() for name in content}
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (copy / "model.safetensors").unlink()
    np.testing.assert_array_equal(rows(copy).weights, expected.weights)
    (copy / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"names the shard 'model-2\.safetensors'"):
        rows(copy)


def test_half_precision_weights_are_read_as_float32(copy):
    expected = rows(copy)
    rewrite(copy, **{name: tensor.half() for name, tensor in weights(copy).items()})
    found = create("splade", str(copy))
    assert found.language_model.weight.dtype == torch.float32
    assert abs(found.encode_documents(TEXTS).nnz - expected.nnz) < 20


def test_remote_code_is_never_run(copy):
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForMaskedLM": "modeling.Own"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "modeling.py").write_text("raise SystemExit('remote code was run')")
    with pytest.raises(CheckpointError, match=r"model_type 'own'\. Code that comes"):
        rows(copy)
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    assert rows(copy).nnz > 0


@pytest.mark.parametrize("positions", [3, 5])
def test_few_positions(copy, positions):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"max_position_embeddings": positions}))
    name = "bert.embeddings.position_embeddings.weight"
    rewrite(copy, **{name: weights(copy)[name][:positions]})
    assert len(rows(copy)) == len(TEXTS)


@pytest.mark.parametrize("layers", [1001, 10**12])
def test_layers_without_end_are_named(copy, layers):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    with pytest.raises(CheckpointError, match="num_hidden_layers must be at most 1,000"):
        rows(copy)


def test_configuration_that_transformers_refuses(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_attention_heads": 5}))
    with pytest.raises(CheckpointError, match="cannot build a 'bert' model"):
        rows(copy)


def test_architecture_with_another_vocabulary_head_is_refused(copy, tokens):
    from transformers import MobileBertConfig, MobileBertForMaskedLM

    sizes = {"hidden_size": 32, "embedding_size": 16, "true_hidden_size": 16}
    sizes |= {"intra_bottleneck_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MobileBertConfig(vocab_size=len(tokens), intermediate_size=16, **sizes)
    MobileBertForMaskedLM(config).save_pretrained(copy)
    with pytest.raises(CheckpointError, match="MobileBertForMaskedLM is more than one linear"):
        rows(copy)


def test_tokenizer_with_more_tokens_than_the_model(copy, write_tokenizer, tokens):
    write_tokenizer(copy, [*tokens, "extra"])
    with pytest.raises(CheckpointError, match="144 tokens, but the model only 143 vocabulary"):
        rows(copy)


def test_tokenizers_that_number_differently(write_router, write_tokenizer, tokens, tmp_path):
    directory = write_router(tmp_path)
    query = directory / "query_0_SparseStaticEmbedding"
    write_tokenizer(query, [*tokens[:-2], tokens[-1], tokens[-2]])
    with pytest.raises(CheckpointError, match=r"token id 141 is '##ly' in the documents'"):
        rows(directory)


def test_vocabulary_text_without_tokenizer_json(copy, tokens):
    expected = rows(copy)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer: expected"):
        rows(copy)
    (copy / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    np.testing.assert_array_equal(rows(copy).weights, expected.weights)
    (copy / "vocab.txt").write_text("\n".join(tokens[1:]), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"\[PAD\] is missing"):
        rows(copy)


def test_broken_tokenizer_json(copy):
    (copy / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        rows(copy)


def test_device_that_torch_does_not_have(plain):
    with pytest.raises(EncoderError, match="cannot use the device 'abacus'"):
        create("splade", f"{plain}?device=abacus")


def test_model_that_overflows_is_named(copy):
    rewrite(copy, **{"cls.predictions.transform.LayerNorm.weight": torch.full((32,), 3e38)})
    with pytest.raises(CheckpointError, match="logits that are not finite"):
        rows(copy)
