"""Answers have the same bits in every layout of an index and every way of searching."""

from __future__ import annotations

import random

import numpy as np

from benchmarks.engine import invariance
from benchmarks.engine.datasets import write_vectors
from benchmarks.engine.invariance import (
    FORMS,
    WAYS,
    CountedRows,
    answers,
    build_layouts,
    differing,
)
from benchmarks.engine.preparation import word_tokenizer
from encoders.base import Document
from encoders.expression import PartExpression
from indexer import generation
from indexer.format.manifest import read_manifest
from indexer.format.segment import Segment
from indexer.spaces import SpacePart, create_spaces
from kernels.cpu.layout import RARE


def test_answers_do_not_depend_on_the_layout(tmp_path, monkeypatch):
    rng = random.Random(3)
    words = [f"w{number}" for number in range(300)]
    frequency = [1 / (number + 1) for number in range(300)]
    texts = [" ".join(rng.choices(words, frequency, k=rng.randrange(1, 30))) for _ in range(512)]
    questions = [" ".join(rng.choices(words, k=rng.randrange(1, 5))) for _ in range(8)]
    documents = [
        Document(f"d{number}", text, "", {"number": number}) for number, text in enumerate(texts)
    ]
    monkeypatch.setattr(generation, "BATCH_DOCUMENTS", 32)
    small = {name: form._replace(window_bits=6) for name, form in FORMS.items()}
    small["production"] = FORMS["production"]
    monkeypatch.setattr(invariance, "FORMS", small)
    spaces = create_spaces({"both": "plain-bm25 + 0.5*english-bm25"})
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "counts.json").write_text("of another benchmark")
    layouts = build_layouts(documents, spaces, tmp_path / "work", counts=(1, 16))
    assert (tmp_path / "work" / "counts.json").exists()
    found = list(answers(layouts, [*questions, "w0 w1", "w0"]))
    assert differing(found) == []
    assert {answer.segments for answer in found} == {1, 4, 16}
    most = {name: max(a.windows for a in found if a.layout.startswith(name)) for name in FORMS}
    assert most == {"mixed": 8, "production": 1, "rare": 8, "windows": 8, "columns": 8}
    assert {(answer.path, answer.threads, answer.memory_map) for answer in found} == set(WAYS)
    assert all(answer.hits for answer in found)
    # Deletions and filters change answers, or they would show nothing.
    groups = {(answer.space, answer.group): answer.hash for answer in found}
    assert len(set(groups.values())) == len(groups) == 4
    forms = {form: _forms(layouts[f"{form}, arrival, 1, no"]) for form in FORMS}
    assert forms == {
        "mixed": {"rare", "windows", "column"},
        "production": {"rare", "windows", "column"},
        "rare": {"rare"},
        "windows": {"windows"},
        "columns": {"windows", "column"},
    }


def test_prepared_rows_do_not_depend_on_the_layout_after_deletions(tmp_path, monkeypatch):
    """The set's own counts are of other tokens than the stored text's, as with another analyzer."""
    rng = np.random.default_rng(5)
    words = [f"w{number}" for number in range(40)]
    texts = [" ".join(rng.choice(words, 6)) for _ in range(256)]
    start = np.arange(257) * 3
    dimensions = np.sort(rng.permuted(np.tile(np.arange(40), (256, 1)), axis=1)[:, :3], axis=1)
    rows = (start, dimensions.ravel().astype(np.uint32), rng.integers(1, 255, 768).astype(np.uint8))
    counts = (start, rows[1], np.ones(768, np.float32))
    write_vectors(tmp_path / "set", rows, counts, word_tokenizer(words), {"standard": ["w0"]})
    encoder = CountedRows(tmp_path / "set", 45)
    assert encoder.count_tokens([Document("0", "W3 w1 unseen w3")]).dimensions.tolist() == [1, 3]
    documents = [
        Document(str(number), text, "", {"number": number}) for number, text in enumerate(texts)
    ]
    monkeypatch.setattr(generation, "BATCH_DOCUMENTS", 32)
    spaces = {"learned": (SpacePart(PartExpression(1.0, "prepared"), encoder),)}
    layouts = build_layouts(documents, spaces, tmp_path / "work", counts=(1, 8))
    questions = [f"{a} {b}" for a in words[:9] for b in words[9:13]]
    assert differing(list(answers(layouts, questions))) == []


def _forms(index) -> set[str]:
    """Forms of the posting lists of an index of one segment."""
    manifest = read_manifest(index)
    (entry,) = manifest.segments
    lists = Segment(index, entry, manifest.spaces).spaces["both"].postings
    directory = lists.directory[np.diff(lists.posting_start) > 0].tolist()
    found = {"rare" if form == RARE else "windows" for form in directory if form > -2}
    return found | ({"column"} if lists.columns.size else set())
