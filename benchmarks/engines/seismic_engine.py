"""Seismic (pyseismic-lsr) over the same vectors: approximate, a curve of query settings.

The impacts are its document values (exact in its 16-bit floats) and the idf its query values.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import protocol
import seismic

NAME = "index.seismic"
CUTS = (3, 5, 8, 12)
HEAP_FACTORS = (0.7, 0.9, 1.0)


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings of ``options``; its own defaults for the others."""
    begin = time.perf_counter()
    index = seismic.SeismicIndexRaw.build(request["rows_bin"], **request["options"])
    seconds = time.perf_counter() - begin
    index.save(str(folder / NAME))
    return {
        "version": version("pyseismic-lsr"),
        "options": request["options"],
        "build_seconds": seconds,
        "build_threads": len(os.sched_getaffinity(0)),
        "index_bytes": protocol.folder_bytes(folder),
    }


def open_cells(request: dict[str, Any], folder: Path) -> dict[str, protocol.Cell]:
    """A cell for each pair of query settings; from arrays to numbers."""
    index = seismic.SeismicIndexRaw.load(str(folder / NAME))
    content = json.loads(Path(request["queries"]).read_text())
    queries = []
    for dimensions, weights in zip(content["dimensions"], content["weights"], strict=True):
        order = np.argsort(dimensions)  # it takes ascending components only
        components = np.array(dimensions, dtype=np.int32)[order]
        queries.append((components, np.array(weights, dtype=np.float32)[order]))

    def searcher(cut: int, heap_factor: float) -> Callable[[Any, int], list[int]]:
        def search(query: Any, k: int) -> list[int]:
            hits = index.search(*query, k, cut, heap_factor, 0, True)
            return [number for _, number in hits]

        return search

    return {
        f"{cut}/{heap_factor}": protocol.Cell(
            "kernel", searcher(cut, heap_factor), queries, f"cut {cut}, heap factor {heap_factor}"
        )
        for cut in CUTS
        for heap_factor in HEAP_FACTORS
    }


protocol.run(build, open_cells)
