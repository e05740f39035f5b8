"""What the planner's constants are worth: query time with others in their place.

    python -m benchmarks.engine.planner --work WORK -o benchmarks/results/planner.json

Each setting is measured in a process of its own, which sets one constant before the kernels are
compiled (into a cache that is thrown away), builds the postings of each data set and asks its
questions through ``search_postings``. Answers do not change with the constants; their hash is
compared. Settings take turns, and a setting's time is its median over the turns. The data sets are
those of ``benchmarks.engine``: ``flops07`` and ``flops18``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table, write_result

CONSTANTS: dict[str, tuple[float, ...]] = {
    "indexer.format.postings.WINDOW_BITS": (13, 15),
    "indexer.format.postings.RARE_FACTOR": (2, 32),
    "indexer.format.postings.DENSE_FRACTION": (0.1, 0.45, 2.0),
    "kernels.cpu.inversion.HEAD_SHARE": (48, 1 << 30),
    "kernels.cpu.candidates.LOOK_UP_COST": (8, 128),
    "kernels.cpu.scoring.ACCUMULATED_RATIO": (1, 8),
    "kernels.cpu.scoring.SCANNED_SHARE": (1 / 64, 1),
}
"""Other values of each constant; ``HEAD_SHARE`` of 2^30 keeps no heads."""

SETS = ("flops07", "flops18")
KS = (10, 1000)


def measure(work: Path, name: str, value: float, queries: int) -> dict[str, Any]:
    """Mean microseconds per data set and k, and a hash of the answers, in this process."""
    if name:
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    # Only now: kernels take constants when they are compiled.
    from benchmarks.roofline.collection import load_collection, microseconds, searching
    from indexer.format import postings
    from kernels.cpu.search import search_postings

    found: dict[str, Any] = {}
    digest = hashlib.sha256()
    for set_name in SETS:
        collection = load_collection(work / f"{set_name}.npz", queries)
        built = postings.build_postings([collection.rows])
        for k in KS:
            for dimensions, weights in collection.queries[:100]:
                for array in search_postings(built, dimensions, weights, k):
                    digest.update(array.tobytes())
            times = microseconds(searching(built, k), collection.queries, 3)
            found[f"{set_name}, k = {k}"] = float(times.mean())
    return {"times": found, "answers": digest.hexdigest()}


def in_process(
    arguments: argparse.Namespace, name: str, value: float, cache: Path
) -> dict[str, Any]:
    """The same in a process of its own, with kernels compiled for the value."""
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.engine.planner"),
            *("--work", str(arguments.work), "--queries", str(arguments.queries)),
            *("--only", name, json.dumps(value)),
        ],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def table(settings: Sequence[tuple[str, float]], medians: dict[Any, dict[str, float]]) -> str:
    """Times, and their ratio to those of the constants as they are."""
    base = medians["", 0.0]
    rows = []
    for name, value in settings:
        times = medians[name, value]
        shown = f"{name.rpartition('.')[2]} = {value:g}" if name else "as they are"
        rows.append([shown, *(f"{times[c]:.0f} ({times[c] / base[c]:.2f})" for c in base)])
    return markdown_table(["constant", *base], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="of benchmarks.engine")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.only:
        name, value = arguments.only
        print(json.dumps(measure(arguments.work, name, json.loads(value), arguments.queries)))
        return
    settings = [("", 0.0), *((n, value) for n, values in CONSTANTS.items() for value in values)]
    runs: dict[tuple[str, float], list[dict[str, Any]]] = {setting: [] for setting in settings}
    with tempfile.TemporaryDirectory() as caches:
        for turn in range(arguments.turns):
            for number, (name, value) in enumerate(settings):
                cache = Path(caches, str(number))
                runs[name, value].append(in_process(arguments, name, value, cache))
                times = runs[name, value][-1]["times"]
                print(f"turn {turn + 1}: {name} {value:g}: {times}", flush=True)
    answers = {run["answers"] for found in runs.values() for run in found}
    medians = {
        setting: {c: float(np.median([r["times"][c] for r in found])) for c in found[0]["times"]}
        for setting, found in runs.items()
    }
    print(f"\nmicroseconds (over those of the constants as they are)\n\n{table(settings, medians)}")
    print(f"\nanswers: {'all the same' if len(answers) == 1 else 'DIFFERENT'}")
    results = [
        {"constant": name, "value": value, "mean_us": medians[name, value]}
        for name, value in settings
    ]
    write_result(arguments.output, {"settings": results, "answers_are_the_same": len(answers) == 1})
    sys.exit(len(answers) > 1)


if __name__ == "__main__":
    main()
