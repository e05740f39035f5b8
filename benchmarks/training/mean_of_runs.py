r"""Averages training runs with one another and with the weights they started from.

The mean of several runs, drawn back towards the initial weights, keeps more of what those can do on
text unlike the training text (arXiv 2203.05482, 2109.01903). ``indexer train select`` asks the dev
sets which share that should be; here it is given, because dev sets resemble the training text.

    python -m benchmarks.training.mean_of_runs benchmarks/training/recipe.toml RUN RUN \
        --share 0.7 -o checkpoints/default-model/selected

Query factors of runs are left out: a query weight stays the idf of the indexed collection.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from encoders.training.configuration import read_config
from encoders.training.loop import LATEST
from encoders.training.selection import interpolated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "config", type=Path, help="recipe of the first run: initial weights, output"
    )
    parser.add_argument("others", type=Path, nargs="*", help="directories of further runs")
    parser.add_argument("--run", type=Path, help="directory of the first run, if it is another one")
    parser.add_argument("--share", type=float, default=0.7, help="of the runs; the rest is initial")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    config = read_config(arguments.config)
    runs = [arguments.run or config.output, *arguments.others]
    student = interpolated(config, [run / LATEST for run in runs], arguments.share)
    student.log_query_factor.data.zero_()
    student.save(arguments.output)
    print(f"{arguments.output}: {arguments.share:g} of the mean of {len(runs)} runs")


if __name__ == "__main__":
    main()
