"""BMP, block-max pruning (the wheel bmp), over the same vectors: blocks of 8, compressed ranges.

Its query weights have 5 bits, so that it is nearly exact at best; alpha below 1 prunes more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bmp
import numpy as np
import protocol

BLOCK = 8
ALPHAS = (0.8, 0.9, 1.0)


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One call per record."""
    with np.load(request["rows"]) as arrays:
        indptr, dimensions, impacts = (arrays[name] for name in ("indptr", "dimensions", "impacts"))
    names = [str(number) for number in range(int(dimensions.max(initial=0)) + 1)]
    indexer = bmp.Indexer(str(folder / "index.bmp"), BLOCK, True)
    for record in range(len(indptr) - 1):
        row = slice(indptr[record], indptr[record + 1])
        terms = [names[i] for i in dimensions[row].tolist()]
        vector = dict(zip(terms, impacts[row].tolist(), strict=True))
        indexer.add_document(str(record), vector)
    indexer.finish()
    return {"version": version("bmp"), "index_bytes": protocol.folder_bytes(folder)}


def open_cells(request: dict[str, Any], folder: Path) -> dict[str, protocol.Cell]:
    """From a mapping of terms to ids."""
    searcher = bmp.Searcher(str(folder / "index.bmp"))
    content = json.loads(Path(request["queries"]).read_text())
    queries = [
        {str(d): w for d, w in zip(dimensions, weights, strict=True)}
        for dimensions, weights in zip(content["dimensions"], content["weights"], strict=True)
    ]

    def search_with(alpha: float) -> Callable[[Any, int], list[str]]:
        def search(query: dict[str, float], k: int) -> list[str]:
            try:
                found: list[str] = searcher.search(query, k, alpha, 1.0)[0]
                return found
            except BaseException as error:  # its panics are no Exception
                if "Panic" not in type(error).__name__:
                    raise
                return []  # no block exceeds its first threshold

        return search

    return {
        str(alpha): protocol.Cell("kernel", search_with(alpha), queries, f"alpha {alpha}")
        for alpha in ALPHAS
    }


protocol.run(build, open_cells)
