"""Cost and gain of ordering passages by recursive graph bisection.

A collection is built once in order of arrival, split into several segments (``--memory``), and
then merged twice into one segment: in order of arrival and bisected. The time of the order is
that of ``indexer.reorder.bisected_order`` on one core, preparing the rows included; the gain is
the mean log2 of the gaps between a dimension's postings, over the dimensions that take part, and
the time of questions over both indexes, in turns. Hits and scores of both are compared.

    python -m benchmarks.document_order --data ../shared/data --work scratch/order

The default corpus is the Wikipedia passages and the arXiv abstracts together, 557,328 documents;
the questions are those of ``wiki_passages/weak_pairs.jsonl``. Any other corpus that ``indexer
build`` reads can be given with ``--corpus``, a file of questions, one a line, with ``--queries``.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table, write_result
from retriever.searcher import Searcher, open_index

COLLECTIONS = ("wiki_passages", "arxiv_abstracts")
QUESTIONS = 1000
PASSES = 3
BAR_SECONDS = 90
MERGE = """
import json, resource, sys, time
from pathlib import Path
from indexer.merge import merge_segments
report = merge_segments(Path(sys.argv[1]), order=sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
cpu = time.process_time()
print(json.dumps({**report.__dict__, "index": None, "peak_mib": peak, "cpu_seconds": cpu}))
"""


def write_corpus(data: Path, file: Path) -> None:
    """The collections one after the other, ids made distinct."""
    with file.open("w", encoding="utf-8") as target:
        for name in COLLECTIONS:
            with lzma.open(data / name / "corpus.jsonl.xz", "rt", encoding="utf-8") as source:
                for line in source:
                    record = json.loads(line)
                    record["_id"] = f"{name}-{record['_id']}"
                    target.write(json.dumps(record, ensure_ascii=False) + "\n")


def questions(arguments: argparse.Namespace) -> list[str]:
    """The questions asked of the index."""
    if arguments.queries:
        lines = arguments.queries.read_text("utf-8").splitlines()
    else:
        pairs = (arguments.data / "wiki_passages" / "weak_pairs.jsonl").open(encoding="utf-8")
        with pairs:
            lines = [json.loads(line)["query"] for line in pairs]
    return [" ".join(line.split()) for line in lines[:QUESTIONS] if line.strip()]


def build(arguments: argparse.Namespace, index: Path) -> dict[str, float]:
    """Builds the index of several segments in a child process; its time and peak memory."""
    corpus = arguments.corpus or arguments.work / "corpus.jsonl"
    if arguments.corpus is None and not corpus.exists():
        write_corpus(arguments.data, corpus)
    command = [sys.executable, "-m", "indexer", "build", str(corpus), "-o", str(index), "-q"]
    command += ["--memory", arguments.memory, "--encoder", arguments.encoder]
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"indexer build ended with {os.waitstatus_to_exitcode(status)}")
    return {"seconds": time.perf_counter() - started, "peak_mib": usage.ru_maxrss / 1024}


def merge(source: Path, target: Path, order: str) -> dict[str, Any]:
    """Merges a copy in a child process, kernels compiled before."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    command = [sys.executable, "-c", MERGE, str(target), order]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output))


def compile_kernels(work: Path) -> None:
    """Merges a tiny index in both orders."""
    from encoders.base import Document
    from indexer.builder import build as build_documents
    from indexer.settings import BuildSettings

    tiny = work / "tiny.winnow"
    texts = (Document(str(i), f"a{i % 7} b{i % 5} c{i % 3}") for i in range(200))
    build_documents(
        texts, tiny, "english-bm25", settings=BuildSettings(segment_rows=100), overwrite=True
    )
    for order in ("bisected", "arrival"):
        merge(tiny, work / "tiny-merged.winnow", order)


def time_questions(
    indexes: dict[str, Searcher], asked: list[str], k: int
) -> dict[str, dict[str, float]]:
    """Microseconds per question, per index; indexes take turns and the best pass counts."""
    times = {name: np.full(len(asked), np.inf) for name in indexes}
    for _ in range(PASSES + 1):
        for name, searcher in indexes.items():
            for number, question in enumerate(asked):
                started = time.perf_counter()
                searcher.search(question, k)
                elapsed = 1e6 * (time.perf_counter() - started)
                times[name][number] = min(times[name][number], elapsed)
    return {
        name: {
            "mean_us": round(float(values.mean()), 1),
            "p50_us": round(float(np.percentile(values, 50)), 1),
            "p99_us": round(float(np.percentile(values, 99)), 1),
        }
        for name, values in times.items()
    }


def differences(indexes: dict[str, Searcher], asked: list[str], k: int) -> int:
    """Questions whose hits or scores are not the same in all indexes."""
    found = [
        [[(hit.doc_id, hit.score) for hit in searcher.search(q, k).hits] for q in asked]
        for searcher in indexes.values()
    ]
    return sum(any(other[i] != found[0][i] for other in found[1:]) for i in range(len(asked)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the collections")
    parser.add_argument("--corpus", type=Path, help="another corpus")
    parser.add_argument("--queries", type=Path, help="its questions, one a line")
    parser.add_argument("--encoder", default="english-bm25", help="encoder expression")
    parser.add_argument("--memory", default="300MB", help="of the build, for several segments")
    parser.add_argument("--work", type=Path, default=Path("scratch/order"), help="4 GB of files")
    parser.add_argument("--keep", action="store_true", help="use the index that is there")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None and (arguments.corpus is None or arguments.queries is None):
        parser.error("give --data, or --corpus and --queries")
    arguments.work.mkdir(parents=True, exist_ok=True)
    several = arguments.work / "several.winnow"
    built = None
    if not (arguments.keep and several.exists()):
        shutil.rmtree(several, ignore_errors=True)
        built = build(arguments, several)
    compile_kernels(arguments.work)
    merged = {}
    indexes = {"several segments, arrival": open_index(several)}
    for order in ("arrival", "bisected"):
        target = arguments.work / f"{order}.winnow"
        merged[order] = merge(several, target, order)
        indexes[f"one segment, {order}"] = open_index(target)
    asked = questions(arguments)
    speed = {k: time_questions(indexes, asked, k) for k in (10, 100)}
    different = {k: differences(indexes, asked, k) for k in (10, 100)}

    bisected = merged["bisected"]
    count = bisected["documents"]
    print(f"{count:,} documents, {bisected['merged_segments']} segments, {len(asked):,} questions")
    rows = [
        ["merge, s", *(f"{m['seconds']:.1f}" for m in merged.values())],
        ["processor time of it, s", *(f"{m['cpu_seconds']:.1f}" for m in merged.values())],
        ["of it the order, s", "-", f"{bisected['order_seconds']:.1f}"],
        [
            "mean log2 of gaps",
            f"{bisected['log2_gap_before']:.3f}",
            f"{bisected['log2_gap_after']:.3f}",
        ],
        ["index, MB", *(f"{m['size_after'] / 1e6:.0f}" for m in merged.values())],
        ["peak memory of merging, MiB", *(f"{m['peak_mib']:.0f}" for m in merged.values())],
    ]
    print(markdown_table(["", *merged], rows))
    holds = "yes" if bisected["order_seconds"] <= BAR_SECONDS else "no"
    print(f"\nbar: order in {BAR_SECONDS} s or less: {holds}\n")
    table = [
        [name, *(f"{speed[k][name][m]:.0f}" for k in speed for m in ("mean_us", "p99_us"))]
        for name in indexes
    ]
    header = ["microseconds per question", *(f"k={k} {m}" for k in speed for m in ("mean", "p99"))]
    print(markdown_table(header, table))
    print(f"\nquestions with other hits or scores: {different}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"building": built, "merging": merged, "speed": speed, "different": different}
    write_result(arguments.output, {**result, "peak_mib_of_searching": peak})


if __name__ == "__main__":
    main()
