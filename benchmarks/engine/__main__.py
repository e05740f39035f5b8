"""Winnow's engine against others, on identical vectors or text: one command.

    python -m benchmarks.engine --data DATA --work WORK -o benchmarks/results/engine.json

Prepares the data sets in WORK (once), builds every engine's index there (once), and then runs
each engine in a process of its own: one thread, passes interleaved, every query timed. With
``--build-only`` it stops before the timing. What is measured:

* ``kernel``: from a prepared query to record numbers (Winnow: integers to rows, the public
  ``search_postings``; Lucene: a Query object to document numbers; others: what their wheel takes).
* ``whole``: from the query as a user has it to document ids (Winnow: a string, tokenised by itself;
  Lucene: a string of words; tantivy and bm25s: Winnow's tokens).

Lucene is timed inside its JVM, one segment, the query cache off, hits not counted beyond k. Figures
are medians over the passes for each query, then the mean and percentiles over queries; ratios are
of means, with a 95 % interval of the paired bootstrap. ``recall`` counts ties with the last hit
as right; ``same order`` is the share of queries with the ids of the 64-bit oracle, in its order.
A last table compares Winnow on vectors with the BM25 of the engines on text, question by question.

Engines that are not installed are left out, and the reason is told. Each is looked for in the
interpreter of its variable: WINNOW_LUCENE_PYTHON (pyserini; or WINNOW_LUCENE_JAR), and
WINNOW_PISA_PYTHON (pyterrier-pisa, tbb==2020.3.254), WINNOW_SPLADE_INDEX_PYTHON,
WINNOW_SEISMIC_PYTHON (pyseismic-lsr), WINNOW_BMP_PYTHON, each with numpy beside it.

``--instructions avx2`` runs all of them without AVX-512 on a machine that has it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.engine.across import Medians, across_table, ratios_across
from benchmarks.engine.child import ENGINES
from benchmarks.engine.comparison import Plan, compare
from benchmarks.engine.instructions import LIMITS, limit_instructions
from benchmarks.engine.learned import STANDARD, TAIL
from benchmarks.engine.preparation import NAMES, prepare
from benchmarks.engine.tables import latency_table, size_table
from benchmarks.machine import machine_and_versions
from benchmarks.reporting import write_result

STANDARD_SETS = ["flops07", "flops18", "splade-tiny", "bm25-kept", "bm25-removed"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [engine.name for engine in ENGINES]
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--sets", nargs="+", choices=NAMES, default=STANDARD_SETS)
    parser.add_argument("--engines", nargs="+", choices=names, default=names)
    parser.add_argument("-k", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--queries", type=int, help="by default all: 1,000, or 20,000 of --tail")
    parser.add_argument("--tail", action="store_true", help="the 20,000 questions for p99.9")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--documents", type=int, default=0, help="records, evenly spread")
    parser.add_argument("--window", type=int, default=0, help="cut records into runs of words")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--instructions", choices=LIMITS, help="hold all engines to these")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    plan = Plan(
        [engine for engine in ENGINES if engine.name in arguments.engines],
        arguments.k,
        "tail" if arguments.tail else "standard",
        arguments.queries or (TAIL if arguments.tail else STANDARD),
        arguments.passes,
    )
    if arguments.instructions:
        limit_instructions(arguments.instructions)
    print(f"machine: {machine_and_versions()}", flush=True)
    results: dict[str, Any] = {}
    medians: dict[str, Medians] = {}
    kinds: dict[str, str] = {}
    across: list[dict[str, Any]] = []
    for name in arguments.sets:
        folder = prepare(
            name, arguments.data, arguments.work, arguments.window, arguments.documents
        )
        kept = medians[folder.name] = {}
        result = compare(
            folder, arguments.work, plan, build_only=arguments.build_only, medians=kept
        )
        results[folder.name] = result
        if arguments.build_only:
            continue
        kinds[folder.name] = result["kind"]
        show(folder.name, result, plan)
        across = ratios_across(medians, kinds)
        content = {"command": _command(arguments), "sets": results, "across": across}
        write_result(arguments.output, content)
    if across:
        print(f"\n## Learned vectors against BM25, the same questions\n\n{across_table(across)}")


def show(name: str, result: dict[str, Any], plan: Plan) -> None:
    """Prints the tables of a data set."""
    print(
        f"\n## {name}: {result['documents']:,} records, {result['terms_per_document']:.0f} terms "
        f"each; {result['queries']} queries of {result['terms_per_query']:.1f} terms, FLOPS "
        f"{result['flops']:.2f}; {result['passes']} passes"
    )
    for k in plan.ks:
        print(f"\nk = {k}\n\n{latency_table(result, k)}", flush=True)
    print(f"\n{size_table(result)}")
    for engine, reason in result["missing"].items():
        print(f"\nleft out: {engine}: {reason}")


def _command(arguments: argparse.Namespace) -> str:
    """What was asked for, without paths."""
    parts = ["python -m benchmarks.engine"]
    for name, value in vars(arguments).items():
        if isinstance(value, Path) or value in (None, False, 0):
            continue
        option = f"-{name}" if name == "k" else f"--{name.replace('_', '-')}"
        shown = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        parts.append(option if value is True else f"{option} {shown}")
    return " ".join(parts)


if __name__ == "__main__":
    main()
