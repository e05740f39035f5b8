"""splade-index over the same vectors: its numba backend, one call per query.

Its ``retrieve`` insists on encoding with sentence-transformers; what is called here is the
function that it calls then, on its own arrays: float32 columns.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import protocol
from splade_index.numba.retrieve_utils import _retrieve_numba_functional


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Columns in its types."""
    with np.load(request["columns"]) as arrays:
        np.save(folder / "indptr.npy", arrays["start"].astype(np.int32))
        np.save(folder / "indices.npy", arrays["rows"].astype(np.int32))
        np.save(folder / "data.npy", arrays["impacts"].astype(np.float32))
    return {"version": version("splade-index"), "index_bytes": protocol.folder_bytes(folder)}


def open_cells(request: dict[str, Any], folder: Path) -> dict[str, protocol.Cell]:
    """From arrays to numbers."""
    scores = {name: np.load(folder / f"{name}.npy") for name in ("data", "indices", "indptr")}
    scores["num_docs"] = request["documents"]
    content = json.loads(Path(request["queries"]).read_text())
    queries = [
        (np.array(dimensions, dtype=np.int32), np.array(weights, dtype=np.float32))
        for dimensions, weights in zip(content["dimensions"], content["weights"], strict=True)
    ]

    def search(query: Any, k: int) -> list[int]:
        found, _ = _retrieve_numba_functional([query[0]], [query[1]], scores, k=k, n_threads=1)
        numbers: list[int] = found[0].tolist()
        return numbers

    def batch(k: int, threads: int) -> float:
        begin = time.perf_counter()
        ids, weights = map(list, zip(*queries, strict=True))
        _retrieve_numba_functional(ids, weights, scores, k=k, n_threads=threads)
        return time.perf_counter() - begin

    return {"kernel": protocol.Cell("kernel", search, queries, batch=batch)}


protocol.run(build, open_cells)
