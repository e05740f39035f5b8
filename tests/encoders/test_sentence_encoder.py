"""Sentence embeddings: those of sentence-transformers, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from safetensors.torch import load_file, save_file  # noqa: E402

from encoders.errors import CheckpointError  # noqa: E402
from encoders.sentence_encoder import SentenceEncoder  # noqa: E402

TEXTS = ["weather in new york", "rain", "", "a query of the sparse index model " * 20]


@pytest.fixture
def copy(sentence_encoder: Path, tmp_path: Path) -> Path:
    """A network to be damaged."""
    return Path(shutil.copytree(sentence_encoder, tmp_path / "encoder"))


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_vectors_are_those_of_sentence_transformers(
    tmp_path: Path, write_sentence_encoder, architecture: str
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer import modules

    directory = write_sentence_encoder(tmp_path / "encoder", architecture)
    network = modules.Transformer(str(directory), max_seq_length=24)
    pooling = modules.Pooling(32, "mean")
    reference = sentence_transformers.SentenceTransformer(
        modules=[network, pooling, modules.Normalize()], device="cpu"
    )
    reference.save(str(tmp_path / "saved"))
    for checkpoint in (directory, tmp_path / "saved"):
        found = SentenceEncoder(checkpoint, 24).encode(TEXTS)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, reference.encode(TEXTS), atol=1e-5)


def test_a_text_has_one_vector_whatever_stands_beside_it(sentence_encoder: Path) -> None:
    encoder = SentenceEncoder(sentence_encoder)
    together = encoder.encode([*TEXTS, *(["new york"] * 200)])
    for number, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode([text])[0], together[number], atol=1e-5)
    assert encoder.encode([]).shape == (0, 32)


def test_no_more_is_read_than_asked_for_or_than_there_are_positions(sentence_encoder: Path) -> None:
    long = "weather in new york " * 100
    whole = SentenceEncoder(sentence_encoder, 1000).encode([long])  # 64 positions
    np.testing.assert_array_equal(SentenceEncoder(sentence_encoder, 64).encode([long]), whole)
    short = SentenceEncoder(sentence_encoder, 6).encode([long])
    np.testing.assert_allclose(
        short, SentenceEncoder(sentence_encoder).encode(["weather in new york"]), atol=1e-5
    )
    assert not np.allclose(short, whole, atol=1e-3)


def test_a_fingerprint_names_network_length_and_precision(
    sentence_encoder: Path, copy: Path
) -> None:
    first = SentenceEncoder(sentence_encoder).fingerprint
    assert SentenceEncoder(copy).fingerprint == first
    tensors = load_file(copy / "model.safetensors")
    name = min(tensors)
    save_file({**tensors, name: tensors[name] + 1}, copy / "model.safetensors")
    others = {
        SentenceEncoder(copy).fingerprint,
        SentenceEncoder(sentence_encoder, 32).fingerprint,
        SentenceEncoder(sentence_encoder, precision="bfloat16").fingerprint,
    }
    assert len(others | {first}) == 4


def test_reading_a_bert_does_without_transformers(sentence_encoder: Path) -> None:
    program = (
        "import pathlib, sys\n"
        "from encoders.sentence_encoder import SentenceEncoder\n"
        f"SentenceEncoder(pathlib.Path({str(sentence_encoder)!r})).encode(['rain'])\n"
        "sys.exit('transformers' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_tensors_that_do_not_fit_are_named(copy: Path) -> None:
    path = copy / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("query.weight"))
    save_file({k: t for k, t in tensors.items() if k != name}, path)
    with pytest.raises(CheckpointError, match=name):
        SentenceEncoder(copy)
    save_file({**tensors, "other": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"unknown .*other"):
        SentenceEncoder(copy)
    save_file({**tensors, name: torch.zeros(3, 3)}, path)
    with pytest.raises(CheckpointError, match=r"do not belong together.*query\.weight"):
        SentenceEncoder(copy)


def test_a_pooler_is_passed_over(copy: Path, sentence_encoder: Path) -> None:
    path = copy / "model.safetensors"
    save_file({**load_file(path), "pooler.dense.weight": torch.zeros(32, 32)}, path)
    np.testing.assert_array_equal(
        SentenceEncoder(copy).encode(TEXTS), SentenceEncoder(sentence_encoder).encode(TEXTS)
    )


@pytest.mark.parametrize(
    ("modules", "pooling", "message"),
    [
        (["Transformer", "Pooling", "Normalize"], {"pooling_mode_cls_token": True}, "pools by cls"),
        (["Transformer", "Pooling"], {"pooling_mode": "lasttoken"}, "pools by lasttoken"),
        (["Transformer", "Pooling"], {"pooling_mode": ["mean", "max"]}, "pools by max, mean"),
        (["Transformer", "Pooling"], {"pooling_mode": None}, "pools by nothing"),
        (["Transformer", "Pooling", "Dense"], {"pooling_mode": "mean"}, "a module 'Dense'"),
        (["Transformer"], {"pooling_mode": "mean"}, "no pooling"),
    ],
)
def test_vectors_of_another_kind_are_refused(
    copy: Path, modules: list[str], pooling: dict[str, object], message: str
) -> None:
    entries = [{"idx": i, "type": f"models.{n}", "path": "pool"} for i, n in enumerate(modules)]
    (copy / "modules.json").write_text(json.dumps(entries))
    (copy / "pool").mkdir()
    (copy / "pool" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(CheckpointError, match=message):
        SentenceEncoder(copy)


def test_a_head_is_passed_over(tmp_path: Path, write_masked_lm, sentence_encoder: Path) -> None:
    """A masked language model gives the vectors of its body."""
    whole = write_masked_lm(tmp_path / "whole")
    np.testing.assert_array_equal(
        SentenceEncoder(whole).encode(TEXTS), SentenceEncoder(sentence_encoder).encode(TEXTS)
    )


def test_a_tokenizer_of_another_network_is_named(copy: Path) -> None:
    content = json.loads((copy / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    more = {**vocabulary, "beyond": len(vocabulary) + 7}
    content["model"]["vocab"] = more
    (copy / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="tokens and the network"):
        SentenceEncoder(copy)
    del more["beyond"], more["[SEP]"]
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "[SEP]"]
    content["post_processor"] = None
    (copy / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"no tokens \[CLS\] and \[SEP\]"):
        SentenceEncoder(copy)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        SentenceEncoder(copy)
