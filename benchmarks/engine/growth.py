r"""How the time of each engine grows with the number of records.

    for n in 100000 200000 400000 0; do python -m benchmarks.engine --data DATA --work WORK \
        --window 100 --sets bm25-kept bm25-removed --engines winnow lucene --documents $n \
        --passes 3 -o grown-$n.json; done
    python -m benchmarks.engine.growth grown-*.json -o benchmarks/results/growth.json

Reads results of ``python -m benchmarks.engine`` for samples of one collection and fits
``time = a * N^b``, a straight line through the logarithms of mean time and number of records.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine.statistics import growth_exponent
from benchmarks.reporting import markdown_table, write_result

Times = dict[tuple[str, int, str], dict[int, float]]
"""By data set, k and engine: mean microseconds by number of records."""


def times_of(results: Iterable[Mapping[str, Any]]) -> Times:
    """What was measured; samples of a set, ``NAME@DOCUMENTS``, count as the set.

    >>> row = {"engine": "winnow", "setting": "", "boundary": "whole", "mean_us": 30.0}
    >>> times_of([{"sets": {"text@500": {"documents": 500, "k": {"10": [row]}}}}])
    {('text', 10, 'winnow whole'): {500: 30.0}}
    """
    times: Times = {}
    for result in results:
        for name, measured in result["sets"].items():
            for k, rows in measured["k"].items():
                for row in rows:
                    engine = " ".join(
                        filter(None, (row["engine"], row["setting"], row["boundary"]))
                    )
                    key = (name.partition("@")[0], int(k), engine)
                    times.setdefault(key, {})[measured["documents"]] = row["mean_us"]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", nargs="+", type=Path, help="of python -m benchmarks.engine")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    results = [json.loads(path.read_bytes()) for path in arguments.results]
    times = times_of(results)
    sizes = sorted({size for measured in times.values() for size in measured})
    rows = [
        {
            "set": name,
            "k": k,
            "engine": engine,
            "by_records": measured,
            "exponent": growth_exponent(measured) if len(measured) > 1 else None,
        }
        for (name, k, engine), measured in times.items()
    ]
    print(
        markdown_table(
            ["set", "k", "engine", *(f"{size:,}" for size in sizes), "exponent"],
            (_shown(row, sizes) for row in rows),
        )
    )
    made = [{key: result.get(key) for key in ("command", "date", "commit")} for result in results]
    write_result(arguments.output, {"measured_by": made, "mean_us": rows})


def _shown(row: Mapping[str, Any], sizes: Iterable[int]) -> list[str]:
    measured, exponent = row["by_records"], row["exponent"]
    return [
        row["set"],
        str(row["k"]),
        row["engine"],
        *(f"{measured[size]:,.0f}" if size in measured else "" for size in sizes),
        "" if exponent is None else f"{exponent:.2f}",
    ]


if __name__ == "__main__":
    main()
