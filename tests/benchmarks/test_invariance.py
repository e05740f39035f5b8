"""Answers have the same bits in every layout of an index and every way of searching."""

from __future__ import annotations

import random

import numpy as np

from benchmarks.engine.invariance import FORMS, WAYS, answers, build_layouts, differing
from encoders.base import Document
from indexer import generation
from indexer.format.manifest import read_manifest
from indexer.format.segment import Segment
from indexer.spaces import create_spaces
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
    spaces = create_spaces({"both": "plain-bm25 + 0.5*english-bm25"})
    layouts = build_layouts(documents, spaces, tmp_path / "work", counts=(1, 16))
    found = list(answers(layouts, [*questions, "w0 w1", "w0"]))
    assert differing(found) == []
    assert {answer.segments for answer in found} == {1, 16}
    assert {(answer.path, answer.threads, answer.memory_map) for answer in found} == set(WAYS)
    assert all(answer.hits for answer in found)
    # Deletions and filters change answers, or they would show nothing.
    groups = {(answer.space, answer.group): answer.hash for answer in found}
    assert len(set(groups.values())) == len(groups) == 4
    forms = {form: _forms(layouts[f"{form}, arrival, 1, no"]) for form in FORMS}
    assert forms == {
        "default": {"rare", "windows", "column"},
        "rare": {"rare"},
        "windows": {"windows"},
        "columns": {"windows", "column"},
    }


def _forms(index) -> set[str]:
    """Forms of the posting lists of an index of one segment."""
    manifest = read_manifest(index)
    (entry,) = manifest.segments
    lists = Segment(index, entry, manifest.spaces).spaces["both"].postings
    directory = lists.directory[np.diff(lists.posting_start) > 0].tolist()
    found = {"rare" if form == RARE else "windows" for form in directory if form > -2}
    return found | ({"column"} if lists.columns.size else set())
