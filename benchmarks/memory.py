"""Memory and time of building a large index, and of opening one.

Building: ``indexer build`` of the 362k Wikipedia passages with English BM25 runs in a
child process, whose peak resident memory is the kernel's count of it. Opening: an index of the
same passages three times over under different ids (more than a million documents) is opened and
asked one question in a fresh process, with files and compiled kernels in the system's caches.
Anonymous memory is what the process cannot give back (``RssAnon`` and swap in
``/proc/self/status``); it is read after the imports, after opening, after the first search and
after all questions. The largest of several processes counts.

    python -m benchmarks.memory --data ../shared/data --work scratch/memory
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.reporting import markdown_table, write_result

COPIES = 3
QUESTIONS = 200
PROCESSES = 3
MIB = 1 << 20
BARS = {
    "peak memory of building, MiB": 2048,
    "anonymous memory of opening and searching, MiB": 150,
    "opening and first search, s": 1.0,
}


def anonymous_mib() -> float:
    """Anonymous memory of this process, resident or swapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "VmSwap")) / 1024


def open_and_search(index: str) -> None:
    """Runs in a process of its own: prints what opening and searching took as JSON."""
    from retriever.searcher import open_index

    questions = [line.rstrip("\n") for line in sys.stdin]
    memory = [anonymous_mib()]
    started = time.perf_counter()
    searcher = open_index(index)
    opened = time.perf_counter()
    memory.append(anonymous_mib())
    before_search = time.perf_counter()
    hits = searcher.search(questions[0], 10).hits
    searched = time.perf_counter()
    memory.append(anonymous_mib())
    for question in questions:
        searcher.search(question, 10)
    memory.append(anonymous_mib())
    description = searcher.description()
    result = {
        "imported_mib": memory[0],
        "opened_mib": memory[1] - memory[0],
        "first_search_mib": memory[2] - memory[0],
        "all_searches_mib": memory[3] - memory[0],
        "open_s": opened - started,
        "first_search_s": searched - before_search,
        "hits": len(hits),
        "documents": description.document_count,
        "passages": description.passage_count,
        "segments": description.segment_count,
        "index_mib": description.size_bytes / MIB,
        "postings": sum(
            space.postings.posting_count
            for segment in searcher._snapshot.segments
            for space in segment.spaces.values()
        ),
    }
    print(json.dumps(result))


def passages(data: Path) -> Iterator[dict[str, Any]]:
    """The records of the corpus."""
    with lzma.open(data / "wiki_passages" / "corpus.jsonl.xz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def questions(data: Path) -> list[str]:
    """Questions about these passages."""
    with (data / "wiki_passages" / "weak_pairs.jsonl").open(encoding="utf-8") as file:
        pairs = [json.loads(line) for _, line in zip(range(QUESTIONS), file, strict=False)]
    return [" ".join(pair["query"].split()) for pair in pairs]


def write_copies(data: Path, file: Path) -> None:
    """Writes the corpus ``COPIES`` times under different ids."""
    with file.open("w", encoding="utf-8") as target:
        for copy in range(COPIES):
            for record in passages(data):
                record["_id"] = f"{copy}-{record['_id']}"
                target.write(json.dumps(record, ensure_ascii=False) + "\n")


def build(corpus: Path, index: Path) -> dict[str, float]:
    """Builds an index in a child process; its peak memory and time."""
    shutil.rmtree(index, ignore_errors=True)
    command = [sys.executable, "-m", "indexer", "build", str(corpus), "-o", str(index), "-q"]
    command += ["--encoder", "bm25"]
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"indexer build ended with status {os.waitstatus_to_exitcode(status)}")
    return {"peak_mib": usage.ru_maxrss / 1024, "seconds": time.perf_counter() - started}


def measure_opening(index: Path, asked: list[str]) -> dict[str, float]:
    """The largest figures of several processes; one before them fills the caches."""
    runs = []
    for _ in range(PROCESSES + 1):
        command = [sys.executable, "-m", "benchmarks.memory", "--open", str(index)]
        text = "".join(f"{question}\n" for question in asked)
        finished = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        runs.append(json.loads(finished.stdout))
    return {name: round(max(run[name] for run in runs[1:]), 3) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the collections")
    parser.add_argument("--work", type=Path, default=Path("scratch/memory"), help="3 GB of files")
    parser.add_argument("--open", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.open:
        open_and_search(arguments.open)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    small, large = arguments.work / "once.winnow", arguments.work / "copies.winnow"
    built = build(arguments.data / "wiki_passages", small)
    copies = arguments.work / "copies.jsonl"
    write_copies(arguments.data, copies)
    built_large = build(copies, large)
    copies.unlink()
    asked = questions(arguments.data)
    opened = {"once": measure_opening(small, asked), "copies": measure_opening(large, asked)}
    figures = {
        "peak memory of building, MiB": built["peak_mib"],
        "anonymous memory of opening and searching, MiB": opened["copies"]["first_search_mib"],
        "opening and first search, s": opened["copies"]["open_s"]
        + opened["copies"]["first_search_s"],
    }
    rows = [
        ["documents", *(f"{o['documents']:,.0f}" for o in opened.values())],
        ["postings", *(f"{o['postings']:,.0f}" for o in opened.values())],
        ["index, MiB", *(f"{o['index_mib']:.0f}" for o in opened.values())],
        ["building: peak memory, MiB", *(f"{b['peak_mib']:.0f}" for b in (built, built_large))],
        ["building: seconds", *(f"{b['seconds']:.0f}" for b in (built, built_large))],
    ]
    for name, label in (
        ("imported_mib", "after imports: anonymous memory, MiB"),
        ("opened_mib", "opening: growth, MiB"),
        ("first_search_mib", "opening and first search: growth, MiB"),
        ("all_searches_mib", f"opening and {QUESTIONS + 1} searches: growth, MiB"),
        ("open_s", "opening, s"),
        ("first_search_s", "first search, s"),
    ):
        rows.append([label, *(f"{o[name]:.3g}" for o in opened.values())])
    print(markdown_table(["", "wiki passages", f"{COPIES} times"], rows))
    print()
    print(
        markdown_table(
            ["", "measured", "bar", "holds"],
            (
                [
                    name,
                    f"{value:.0f}" if value > 10 else f"{value:.2f}",
                    BARS[name],
                    "yes" if value < BARS[name] else "no",
                ]
                for name, value in figures.items()
            ),
        )
    )
    write_result(
        arguments.output,
        {"figures": figures, "building": {"once": built, "copies": built_large}, "opening": opened},
    )


if __name__ == "__main__":
    main()
