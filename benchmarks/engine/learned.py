"""Prepares learned-like data sets: ``python -m benchmarks.engine.learned --data DATA --work WORK``.

Writes ``flops07.npz`` and ``flops18.npz``: rows (``indptr`` int64[N + 1], ``dimensions`` uint32
ascending, ``weights`` float32, ``impacts`` uint8 on one global scale), the standard questions as
``query_indptr``, ``query_dimensions``, ``query_weights`` (idf, each word once, stop words kept),
20,000 more as ``tail_*``; and the words, ids and questions as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.counts import Counts, count_terms, load_counts, save_counts
from benchmarks.engine.ppmi import expand, find_power, flops, neighbours
from benchmarks.engine.texts import (
    read_questions,
    read_texts,
    standard_questions,
    tail_questions,
)
from encoders.query.analyzer import create_analyzer
from encoders.query.idf import idf

VOCABULARY = 30_000
TARGETS = {"flops07": 0.7, "flops18": 1.8}
STANDARD, TAIL = 1_000, 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--window", type=int, default=0, help="cut records into runs of words")
    arguments = parser.parse_args()
    prepare_learned(arguments.data, arguments.work, arguments.window)


def prepare_learned(data: Path, work: Path, window: int = 0) -> None:
    """Writes the data sets that are not there yet."""
    work.mkdir(parents=True, exist_ok=True)
    suffix = f".window{window}" if window else ""
    wanted = {name: work / f"{name}{suffix}.npz" for name in TARGETS}
    if all(path.exists() for path in wanted.values()):
        return
    analyzer = create_analyzer("plain")
    stored = work / f"counts{suffix}.npz"
    if not stored.exists():
        save_counts(stored, count_terms(read_texts(data, window=window), analyzer, VOCABULARY))
    counts = load_counts(stored)
    questions = read_questions(data)
    strings = {
        "standard": standard_questions(questions, STANDARD),
        "tail": tail_questions(questions, TAIL),
    }
    (work / "questions.json").write_text(json.dumps(strings))
    (work / f"vocabulary{suffix}.json").write_text(json.dumps(counts.vocabulary))
    numbers = {term: number for number, term in enumerate(counts.vocabulary)}
    queries = {
        name: [
            np.array(sorted({numbers[t] for t in analyzer.tokens(text) if t in numbers}), np.int64)
            for text in texts
        ]
        for name, texts in strings.items()
    }
    near = neighbours(counts)
    print("neighbours found", flush=True)
    for name, path in wanted.items():
        _write(path, counts, near, queries, TARGETS[name])


def _write(
    path: Path,
    counts: Counts,
    near: tuple[NDArray[np.int32], NDArray[np.float32]],
    queries: dict[str, list[NDArray[np.int64]]],
    target: float,
) -> None:
    total = len(counts.ids)
    power = find_power(counts, near, queries["standard"], target)
    indptr, dimensions, weights = expand(counts, near, power, np.arange(total))
    impacts = np.clip(np.rint(weights * (255 / weights.max())), 1, 255).astype(np.uint8)
    term_idf = idf(total, counts.doc_freq())
    arrays = {}
    for name, prefix in (("standard", "query"), ("tail", "tail")):
        rows = queries[name]
        flat = np.concatenate(rows)
        arrays[f"{prefix}_indptr"] = np.cumsum([0, *map(len, rows)])
        arrays[f"{prefix}_dimensions"] = flat.astype(np.uint32)
        arrays[f"{prefix}_weights"] = term_idf[flat]
    doc_freq = np.bincount(dimensions, minlength=len(counts.vocabulary))
    description = {
        "documents": total,
        "postings": len(dimensions),
        "terms_per_document": len(dimensions) / total,
        "terms_per_query": float(np.mean([len(row) for row in queries["standard"]])),
        "flops": flops(doc_freq, total, queries["standard"]),
        "flops_tail": flops(doc_freq, total, queries["tail"]),
        "power": power,
    }
    arrays |= {"indptr": indptr, "dimensions": dimensions, "weights": weights, "impacts": impacts}
    np.savez(path, allow_pickle=False, **arrays)
    path.with_suffix(".json").write_text(json.dumps(description, indent=1))
    print(path.name, description, flush=True)


if __name__ == "__main__":
    main()
