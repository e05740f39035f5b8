"""A small collection and a small random model to train."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORDS = ["planet", "weather", "rain", "new", "york", "query", "table"]
WORDS += ["sparse", "dense", "model", "index", "token", "weight"]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """48 documents and queries in BEIR layout; a query has two words of its document."""
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    rng = np.random.default_rng(0)
    corpus, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for number in range(48):
        words = [str(word) for word in rng.choice(WORDS, 7, replace=False)]
        title, text = words[0], " ".join(words[1:]) + "."
        corpus.append({"_id": f"d{number}", "title": title, "text": text})
        queries.append({"_id": f"q{number}", "text": f"{words[2]} {words[4]} {number}"})
        qrels.append(f"q{number}\td{number}\t1")
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", queries)
    (folder / "qrels" / "train.tsv").write_text("\n".join(qrels) + "\n")
    return folder


@pytest.fixture
def settings(
    tmp_path: Path, collection: Path, write_masked_lm: Callable[..., Path]
) -> dict[str, Any]:
    """Settings of a run of a few seconds."""
    return {
        "initial": write_masked_lm(tmp_path / "initial"),
        "output": tmp_path / "run",
        "max_length": 16,
        "log_every": 1,
        "save_every": 2,
        "sources": [{"name": "judged", "kind": "judged", "path": collection}],
        "teachers": {"cache": tmp_path / "cache"},
        "sparsity": {"weight": 0.01, "random_dimensions": 20},
        "schedule": {"steps": 6, "queries": 8, "negatives": 2, "learning_rate": 1e-3},
        "guards": {"most_dims": 1000, "fewest_dims": 0},
    }


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Writes JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
