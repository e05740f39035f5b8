"""Whatever happens to a file of a checkpoint, it loads or a named error says which file it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.base import Document, SparseRows
from encoders.errors import CheckpointError, EncoderError

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

from encoders.splade import create  # noqa: E402

DOCUMENTS = [Document("1", "what is the weather in new york"), Document("2")]

REPLACEMENTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "zeros": lambda content: bytes(len(content)),
    "other bytes": lambda content: np.random.default_rng(1).bytes(len(content)),
    "null": lambda content: b"null",
    "empty list": lambda content: b"[]",
    "empty object": lambda content: b"{}",
    "number": lambda content: b"7",
    "text": lambda content: b'"text"',
    "deep": lambda content: b"[" * 100_000,
    "mark in front": lambda content: b"\xef\xbb\xbf" + content,
}


@pytest.fixture(scope="module")
def router(write_router, tmp_path_factory) -> Path:
    directory = write_router(tmp_path_factory.mktemp("router"))
    (directory / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16}))
    return directory


def files_of(directory: Path) -> list[str]:
    return sorted(
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    )


def assert_loads_or_is_named(directory: Path) -> None:
    """A valid row for each document, or an error of ours; nothing else."""
    outcome = _outcome(directory)
    if isinstance(outcome, SparseRows):
        check(outcome)
    else:
        assert len(outcome) > 40


def _outcome(directory: Path) -> SparseRows | str:
    try:
        return create("splade", str(directory)).encode_documents(DOCUMENTS)
    except EncoderError as error:
        return str(error)


def check(rows: SparseRows) -> None:
    assert len(rows) == len(DOCUMENTS)
    assert np.isfinite(rows.weights).all()
    assert (rows.weights > 0).all()


def test_the_checkpoint_is_a_good_one(router):
    check(create("splade", str(router)).encode_documents(DOCUMENTS))
    assert len(files_of(router)) >= 12


@pytest.mark.parametrize("damage", REPLACEMENTS)
def test_a_damaged_file(router, tmp_path, damage):
    copy = Path(shutil.copytree(router, tmp_path / "copy"))
    for name in files_of(copy):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(REPLACEMENTS[damage](content))
        assert_loads_or_is_named(copy)
        (copy / name).write_bytes(content)


def test_a_missing_file(router, tmp_path):
    copy = Path(shutil.copytree(router, tmp_path / "copy"))
    for name in files_of(copy):
        content = (copy / name).read_bytes()
        (copy / name).unlink()
        assert_loads_or_is_named(copy)
        (copy / name).mkdir()
        assert_loads_or_is_named(copy)
        (copy / name).rmdir()
        (copy / name).write_bytes(content)


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON |= st.lists(JSON, max_size=2) | st.dictionaries(st.text(max_size=3), JSON, max_size=2)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_in_a_configuration(router, tmp_path, data):
    """One key of one configuration gets another value, of whatever type."""
    names = [
        name
        for name in files_of(router)
        if name.endswith(".json") and not name.endswith("tokenizer.json")
    ]
    name = data.draw(st.sampled_from(names))
    content = json.loads((router / name).read_text())
    holder = content[0] if isinstance(content, list) else content
    key = data.draw(st.sampled_from(sorted(holder)))
    # Sizes are another test's: a million layers are only slow.
    if key.startswith("num_"):
        return
    holder[key] = data.draw(JSON)
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(router, copy)
    (copy / name).write_text(json.dumps(content))
    assert_loads_or_is_named(copy)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_byte_of_the_weights(router, tmp_path, data):
    copy = tmp_path / "copy"
    if not copy.exists():
        shutil.copytree(router, copy)
    for name in ("model.safetensors", "query_0_SparseStaticEmbedding/model.safetensors"):
        content = bytearray((router / name).read_bytes())
        header = int.from_bytes(content[:8], "little") + 8
        # The header decides what is read; of the numbers behind it every byte is as good.
        place = data.draw(st.integers(0, header - 1) | st.integers(header, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
        (copy / name).write_bytes(content)
        assert_loads_or_is_named(copy)
        (copy / name).write_bytes((router / name).read_bytes())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vocab_size", 2_000_000_000),
        ("vocab_size", -5),
        ("vocab_size", 0),
        ("vocab_size", 143.5),
        ("hidden_size", 1 << 22),
        ("intermediate_size", 1 << 40),
        ("max_position_embeddings", 1 << 40),
        ("num_hidden_layers", 40),
        ("num_hidden_layers", -1),
        ("num_attention_heads", 0),
        ("type_vocab_size", 1 << 50),
        ("hidden_act", "os.system"),
    ],
)
def test_sizes_that_do_not_fit_the_weights_take_no_memory(router, tmp_path, key, value):
    copy = Path(shutil.copytree(router, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(CheckpointError):
        create("splade", str(copy))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e300"])
@pytest.mark.parametrize("name", ["idf.json", "query_token_weights.txt"])
def test_query_weights_that_are_no_numbers(write_masked_lm, tmp_path, name, value):
    directory = write_masked_lm(tmp_path)
    text = f'{{"mars": {value}}}' if name.endswith("json") else f"mars\t{value}\n"
    (directory / name).write_text(text)
    with pytest.raises(CheckpointError, match="NaN or infinite weight at token id"):
        create("splade", str(directory))
