"""Learned vectors against the BM25 of other engines: the same questions to different data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.statistics import bootstrap_ratio
from benchmarks.reporting import markdown_table

Medians = dict[tuple[str, str, str], NDArray[np.float64]]
"""Microseconds per query, by k, engine with setting, and boundary."""


def ratios_across(medians: Mapping[str, Medians], kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Winnow's time on vectors over each engine's on text, for the questions in the same order.

    Args:
        medians: Of each data set.
        kinds: ``impacts`` or ``text`` of each data set.
    """
    found = []
    for vectors, ours in medians.items():
        for text, theirs in medians.items():
            if kinds[vectors] != "impacts" or kinds[text] != "text":
                continue
            for (k, engine, boundary), times in theirs.items():
                name = "winnow" if boundary == "whole" else "winnow-kernel"
                own = ours.get((k, name, boundary))
                if own is None or len(own) != len(times):
                    continue
                row = {"vectors": vectors, "text": text, "k": k, "engine": engine}
                ratio = bootstrap_ratio(own, times)
                found.append(row | {"boundary": boundary, "ratio": ratio})
    return found


def across_table(ratios: list[dict[str, Any]]) -> str:
    """A row per engine, texts, vectors and boundary; a column per k."""
    ks = list(dict.fromkeys(row["k"] for row in ratios))
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for row in ratios:
        key = (row["engine"], row["boundary"], row["text"], row["vectors"])
        mean, low, high = row["ratio"]
        cells.setdefault(key, {})[row["k"]] = f"{mean:.3f} ({low:.3f}-{high:.3f})"
    header = ["BM25 of", "boundary", "text", "Winnow on", *(f"k = {k}" for k in ks)]
    return markdown_table(
        header, [[*key, *(row.get(k, "") for k in ks)] for key, row in cells.items()]
    )
