r"""Differences between kept runs, of one or of several invocations of ``evaluate``.

    python -m benchmarks.training.paired --data ../shared/data \
        "runs-minilm/+0.3 pairs +0.5 shipped +40 vectors" "runs-static/BM25"

The first system against each other one: NDCG@10 by collection and on the means of the groups,
with the 95 % interval of the paired bootstrap. Each system is a folder of ``evaluate --runs`` and,
behind the last slash, its name there.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reporting import markdown_table, write_result
from benchmarks.training.evaluate import GROUPS, MEASURE, interval
from benchmarks.training.kept_runs import KeptRuns
from eval.datasets.beir import open_dataset
from eval.measures import evaluate

MEANS: Mapping[str, Sequence[str]] = {
    "unseen": GROUPS["unseen"],
    "near": GROUPS["near"],
    "unseen and near": (*GROUPS["unseen"], *GROUPS["near"]),
}


def values_of(data: Path, system: str, places: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """NDCG@10 of every query, by collection."""
    folder, _, name = system.rpartition("/")
    kept = KeptRuns(Path(folder))
    values = {}
    for place in places:
        run = kept.read_any(place, name)
        dataset = open_dataset(data / place.partition(":")[0], place.partition(":")[2] or None)
        found = evaluate(dataset.qrels, run, [MEASURE])
        values[place] = np.array([row[str(MEASURE)] for row in found.per_query.values()])
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("systems", nargs="+", metavar="RUNS/SYSTEM")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    places = MEANS["unseen and near"]
    values = {name: values_of(arguments.data, name, places) for name in arguments.systems}
    first, *others = arguments.systems
    rows: list[list[Any]] = []
    result: dict[str, Any] = {}
    for other in others:
        for line, members in ({place: (place,) for place in places} | dict(MEANS)).items():
            a, b = ([values[name][place] for place in members] for name in (first, other))
            means = [float(np.mean([v.mean() for v in side])) for side in (a, b)]
            low, high = interval(a, b)
            difference = means[0] - means[1]
            rows.append(
                [line, other, *(f"{m:.4f}" for m in means), f"{difference:+.4f}", low, high]
            )
            result[f"{line}: {first} - {other}"] = [round(difference, 5), low, high]
    print(markdown_table(["", "against", "first", "other", "difference", "low", "high"], rows))
    write_result(arguments.output, {"differences": result})


if __name__ == "__main__":
    main()
