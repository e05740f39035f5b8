"""BM25 query speed against tantivy and bm25s over the same token streams.

From the query to document ids, k=10, over wiki_passages, stop words kept and removed. Winnow
starts from the query *string* and does its own analysis; the peers are handed Winnow's tokens, so
that theirs is not counted. Everything else is that of ``benchmarks.engine``, of which this is the
part that needs no other environment.

    python -m benchmarks.bm25_query_speed --data ../shared/data --work scratch/bm25
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.engine.__main__ import show
from benchmarks.engine.child import ENGINES
from benchmarks.engine.comparison import Plan, compare
from benchmarks.engine.preparation import prepare
from benchmarks.machine import machine_and_versions
from benchmarks.reporting import write_result

VARIANTS = {"removed": "wiki-removed", "kept": "wiki-kept"}
PEERS = ("winnow", "tantivy", "bm25s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("scratch/bm25"))
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    plan = Plan(
        [engine for engine in ENGINES if engine.name in PEERS],
        [arguments.k],
        queries=arguments.queries,
        passes=arguments.passes,
    )
    print(f"machine: {machine_and_versions()}", flush=True)
    variants = {}
    for variant, name in VARIANTS.items():
        folder = prepare(name, arguments.data, arguments.work)
        variants[variant] = compare(folder, arguments.work, plan)
        show(folder.name, variants[variant], plan)
    write_result(arguments.output, {"variants": variants})


if __name__ == "__main__":
    main()
