"""Per-query files: the measures of each query, tab-separated.

The first line is ``query_id`` and the names of the measures; then one line for each judged
query, in the order of the qrels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eval.datasets.files import open_text
from eval.errors import ResultsError

PerQuery = Mapping[str, Mapping[str, float]]
"""``per_query[query_id][measure]``."""


def write_per_query(path: Path, per_query: PerQuery) -> None:
    """Writes a per-query file; values are exact."""
    names = list(next(iter(per_query.values()), {}))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(["query_id", *names]) + "\n")
        for query_id, values in per_query.items():
            file.write("\t".join([query_id, *(repr(values[name]) for name in names)]) + "\n")


def is_per_query_file(path: Path) -> bool:
    """Whether the first line is the heading of a per-query file."""
    with open_text(path) as file:
        return file.readline().startswith("query_id\t")


def read_per_query(path: Path) -> dict[str, dict[str, float]]:
    """Reads a per-query file, compressed or not.

    Raises:
        ResultsError: A line does not fit the heading, or a query occurs twice.
    """
    per_query: dict[str, dict[str, float]] = {}
    with open_text(path) as file:
        names = file.readline().rstrip("\n").split("\t")[1:]
        for number, line in enumerate(file, start=2):
            query_id, *texts = line.rstrip("\n").split("\t")
            try:
                values = [float(text) for text in texts]
            except ValueError:
                values = []
            if len(values) != len(names) or query_id in per_query:
                raise ResultsError(
                    f"{path}, line {number}: expected a new query id and {len(names)} numbers, "
                    f"got {line.rstrip()[:80]!r}"
                )
            per_query[query_id] = dict(zip(names, values, strict=True))
    if not per_query or not names:
        raise ResultsError(f"{path} holds no query or no measure")
    return per_query
