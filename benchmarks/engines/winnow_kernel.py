"""Winnow's kernel: ``search_postings`` on prepared integers, to rows; exact, and with budgets."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import protocol

from indexer.format.postings import ImpactRows, build_postings, read_postings, write_postings
from kernels.cpu.search import EXACT, Approximation, search_postings

SPACE = "benchmark"
WINDOW_SHARES = (0.1, 0.25, 0.5)
"""Of the windows, for the curve of the approximate search."""


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Postings of the impacts as they are."""
    with np.load(request["rows"]) as arrays:
        rows = ImpactRows(
            arrays["indptr"], arrays["dimensions"], arrays["impacts"], request["dimensions"]
        )
    postings = build_postings([rows])
    write_postings(folder, SPACE, postings)
    return {
        "window_bits": postings.window_bits,
        "index_bytes": protocol.folder_bytes(folder),
    }


def open_cells(request: dict[str, Any], folder: Path) -> dict[str, protocol.Cell]:
    """From integers to rows."""
    bits = json.loads((folder / "built.json").read_text())["window_bits"]
    postings = read_postings(folder, SPACE, request["documents"], bits)
    content = json.loads(Path(request["queries"]).read_text())
    queries = [
        (np.array(dimensions, dtype=np.int64), np.array(weights, dtype=np.int64))
        for dimensions, weights in zip(content["dimensions"], content["integers"], strict=True)
    ]

    def searcher(approximation: Approximation) -> Callable[[Any, int], Any]:
        def search(query: Any, k: int) -> Any:
            dimensions, weights = query
            return search_postings(postings, dimensions, weights, k, approximation=approximation)[1]

        return search

    cells = {"kernel": protocol.Cell("kernel", searcher(EXACT), queries)}
    for share in WINDOW_SHARES:
        budget = math.ceil(share * request["documents"] / (1 << bits))
        setting = f"{budget} windows"
        limited = searcher(Approximation(window_budget=budget))
        cells[setting] = protocol.Cell("kernel", limited, queries, setting)
    return cells


protocol.run(build, open_cells)
