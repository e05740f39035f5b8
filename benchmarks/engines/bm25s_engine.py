"""bm25s with its numba backend over given tokens, k1=0.9 b=0.4, method "lucene"."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import bm25s
import numpy as np
import protocol


def main() -> None:
    """Arguments: folder (not used), file of documents, file of query tokens."""
    _, documents, queries = map(Path, sys.argv[1:4])
    ids, corpus = [], []
    with documents.open() as file:
        for line in file:
            doc_id, _, tokens = line.rstrip("\n").partition("\t")
            ids.append(doc_id)
            corpus.append(tokens.split(" ") if tokens else [])
    begin = time.perf_counter()
    retriever = bm25s.BM25(method="lucene", k1=0.9, b=0.4, backend="numba")
    retriever.index(corpus, show_progress=False)
    del corpus
    seconds = time.perf_counter() - begin
    names = np.array(ids, dtype=object)
    known = set(retriever.vocab_dict)

    def search(tokens: list[str], k: int) -> list[str]:
        kept = [token for token in tokens if token in known]
        if not kept:
            return []
        found, _ = retriever.retrieve(
            [kept], k=k, backend_selection="numba", show_progress=False, n_threads=1
        )
        return names[found[0]].tolist()

    info = {"version": version("bm25s"), "build_seconds": seconds}
    protocol.serve(json.loads(queries.read_text()), search, info)


main()
