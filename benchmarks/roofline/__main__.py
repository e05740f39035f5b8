"""How far the kernel is from what the machine can do, and how its cost grows.

    python -m benchmarks.roofline --work WORK -o benchmarks/results/roofline.json

WORK holds the data sets of ``python -m benchmarks.engine``; ``--sets`` without a name measures the
machine alone. Measured, on one thread unless said:

* rates of the machine: reading memory, and the loops of the kernel on data in cache;
* time and additions per query for k = 10, 100, 1000;
* growth with the number of records, from 100,000 evenly spread ones to all, and the exponent of a
  fit of time = a * N^b;
* queries of rare terms, whose cost should not depend on N;
* two threads: queries side by side, and one query shared, against a pure scatter loop;
* limits: time and recall for budgets of windows and postings, and for clipped bounds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.machine import machine_and_versions
from benchmarks.reporting import write_result
from benchmarks.roofline.collection import load_collection
from benchmarks.roofline.growth import measure_growth, measure_rare
from benchmarks.roofline.limits import measure_budget_tail, measure_limits
from benchmarks.roofline.rates import measure_rates
from benchmarks.roofline.threads import measure_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=["flops07", "flops18"])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    print(f"machine: {machine_and_versions()}", flush=True)
    results: dict[str, object] = {"rates": measure_rates()}
    for name in arguments.sets:
        collection = load_collection(arguments.work / f"{name}.npz", arguments.queries)
        results[name] = {
            "growth": measure_growth(collection, arguments.passes),
            "rare": measure_rare(collection),
            "threads": measure_threads(collection),
            "limits": measure_limits(collection, arguments.passes),
            "budget_tail": measure_budget_tail(collection),
        }
    write_result(arguments.output, results)


if __name__ == "__main__":
    main()
