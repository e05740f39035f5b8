"""BM25 query speed against tantivy and bm25s over the same token streams.

What is measured: from the query to document ids, k=10, one thread, every engine in a process of
its own, passes interleaved. Winnow starts from the query *string* and does its own analysis; the
peers are handed Winnow's tokens, so that theirs is not counted. Stop words are kept in one half
of the table and removed in the other. Reported: mean of per-query medians over the passes, tail
of the same, and the ratio of means with a 95 % paired bootstrap interval over queries.

    python -m benchmarks.bm25_query_speed --data ../shared/data --work scratch/bm25
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.machine import machine_and_versions
from benchmarks.reporting import write_result
from encoders.query.analyzer import create_analyzer

HERE = Path(__file__).parent
VARIANTS = {"removed": "english", "kept": "english-all-words"}


class Engine:
    """A child process that answers ``benchmarks/engines/protocol.py``."""

    def __init__(self, script: str, *arguments: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        command = [sys.executable, str(HERE / "engines" / script), *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._read()

    def ask(self, **command: object) -> dict:
        """Sends one command and waits for the answer."""
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"an engine died: {self._process.args}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def prepare(data: Path, work: Path, count: int) -> list[str]:
    """Writes documents and queries as tokens, once; returns the query strings."""
    questions = [
        json.loads(line)["query"] if "query" in json.loads(line) else json.loads(line)["question"]
        for line in (data / "wiki_passages" / "weak_pairs.jsonl").open()
    ]
    random.Random(1).shuffle(questions)
    questions = questions[:count]
    (work / "queries.json").write_text(json.dumps(questions))
    for variant, name in VARIANTS.items():
        analyzer = create_analyzer(name)
        tokens = [list(dict.fromkeys(analyzer.tokens(question))) for question in questions]
        (work / f"{variant}.queries.json").write_text(json.dumps(tokens))
        documents = work / f"{variant}.tokens.tsv"
        if documents.exists():
            continue
        with (
            lzma.open(data / "wiki_passages" / "corpus.jsonl.xz", "rt") as source,
            documents.open("w") as target,
        ):
            for line in source:
                record = json.loads(line)
                text = f"{record.get('title', '')} {record['text']}".strip()
                target.write(f"{record['_id']}\t{' '.join(analyzer.tokens(text))}\n")
    return questions


def build_ours(data: Path, work: Path) -> None:
    """Builds our index per variant through the command line, where it is not there yet."""
    for variant, name in VARIANTS.items():
        index = work / f"{variant}.winnow"
        if not index.exists():
            corpus = data / "wiki_passages"
            command = [sys.executable, "-m", "indexer", "build", str(corpus), "-o", str(index)]
            command += ["--encoder", f"{name}-bm25", "--no-split", "-q"]
            subprocess.run(command, check=True)


def bootstrap_ratio(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Ratio of means and its 95 % interval over resampled queries."""
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(ours), (2000, len(ours)))
    ratios = ours[picks].mean(axis=1) / theirs[picks].mean(axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(ours.mean() / theirs.mean()), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("scratch/bm25"))
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    prepare(arguments.data, work, arguments.queries)
    build_ours(arguments.data, work)
    variants: dict[str, dict] = {}
    print(f"machine: {machine_and_versions()}")
    header = "| stop words | engine | mean us | p50 | p95 | p99 | winnow/engine (95 %) |"
    print(f"{header}\n|---|---|---|---|---|---|---|")
    for variant in VARIANTS:
        queries = work / f"{variant}.queries.json"
        documents = work / f"{variant}.tokens.tsv"
        engines = {
            "winnow": Engine("winnow_engine.py", work / f"{variant}.winnow", work / "queries.json"),
            "tantivy": Engine("tantivy_engine.py", work / f"{variant}.tantivy", documents, queries),
            "bm25s": Engine("bm25s_engine.py", work, documents, queries),
        }
        passes: dict[str, list[list[int]]] = {name: [] for name in engines}
        for _ in range(arguments.passes):
            for name, engine in engines.items():
                passes[name].append(engine.ask(command="pass", k=arguments.k)["times"])
        medians = {name: np.median(rows, axis=0) / 1000 for name, rows in passes.items()}
        result: dict = {}
        for name, engine in engines.items():
            times = medians[name]
            ratio = bootstrap_ratio(medians["winnow"], times) if name != "winnow" else None
            p50, p95, p99 = np.percentile(times, [50, 95, 99])
            shown = f"{ratio[0]:.2f} ({ratio[1]:.2f}-{ratio[2]:.2f})" if ratio else ""
            print(
                f"| {variant} | {name} | {times.mean():.0f} | {p50:.0f} | {p95:.0f} | {p99:.0f} "
                f"| {shown} |"
            )
            result[name] = {
                "mean_us": float(times.mean()),
                "p50_us": float(p50),
                "p95_us": float(p95),
                "p99_us": float(p99),
                "winnow_ratio": ratio,
                **engine.ask(command="info"),
            }
            engine.close()
        variants[variant] = result
    write_result(arguments.output, {"variants": variants})


if __name__ == "__main__":
    main()
