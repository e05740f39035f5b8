"""bm25s with its numba backend over given tokens, k1=0.9 b=0.4, method "lucene"."""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bm25s
import protocol


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Its own index, saved."""
    with Path(request["tokens"]).open() as file:
        corpus = [line.split() for line in file]
    begin = time.perf_counter()
    retriever = bm25s.BM25(method="lucene", k1=0.9, b=0.4, backend="numba")
    retriever.index(corpus, show_progress=False)
    seconds = time.perf_counter() - begin
    retriever.save(str(folder))
    return {
        "version": version("bm25s"),
        "build_seconds": seconds,
        "index_bytes": protocol.folder_bytes(folder),
    }


def open_cells(request: dict[str, Any], folder: Path) -> dict[str, protocol.Cell]:
    """From words to numbers."""
    retriever = bm25s.BM25.load(str(folder))
    retriever.backend = "numba"
    known = set(retriever.vocab_dict)

    def retrieve(rows: list[list[str]], k: int, threads: int) -> Any:
        return retriever.retrieve(
            rows, k=k, backend_selection="numba", show_progress=False, n_threads=threads
        )[0]

    def search(tokens: list[str], k: int) -> list[int]:
        kept = [token for token in tokens if token in known]
        return retrieve([kept], k, 1)[0].tolist() if kept else []

    queries = json.loads(Path(request["queries"]).read_text())["tokens"]

    def batch(k: int, threads: int) -> float:
        begin = time.perf_counter()
        rows = [[token for token in tokens if token in known] for tokens in queries]
        retrieve([row for row in rows if row], k, threads)
        return time.perf_counter() - begin

    return {"whole": protocol.Cell("whole", search, queries, batch=batch)}


protocol.run(build, open_cells)
