"""BM25 of bm25s, in a process of its own: ``python -m eval.peers.bm25s REQUEST``.

Settings: the ``lucene`` method (Lucene's formula), English stop words, PyStemmer's English
stemmer, the numba backend where numba is installed, one thread.

Needs nothing but the standard library and bm25s, so that the interpreter of any environment can
run this file by its path (with ``-P``, or it would take itself for the bm25s it imports).
The protocol is described in ``eval.peers.process``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path


def main(request_file: str) -> int:
    """Answers a request; returns the exit status, 3 when bm25s is not installed."""
    missing = [name for name in ("bm25s", "Stemmer") if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"bm25s: {' and '.join(missing)} not installed in {sys.executable}, to install: "
            "pip install 'bm25s[core]' PyStemmer\n"
        )
        return 3
    import bm25s
    import Stemmer

    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    documents = read_jsonl(Path(request["documents"]))
    queries = read_jsonl(Path(request["queries"]))
    backend = "numba" if importlib.util.find_spec("numba") else "numpy"
    stemmer = Stemmer.Stemmer("english")

    started = time.perf_counter()
    tokens = bm25s.tokenize(
        [document["contents"] for document in documents],
        stopwords="en",
        stemmer=stemmer,
        show_progress=False,
    )
    retriever = bm25s.BM25(k1=request["k1"], b=request["b"], method="lucene", backend=backend)
    retriever.index(tokens, show_progress=False)
    indexed = time.perf_counter()
    k = min(request["k"], len(documents))  # more is refused
    if tokens.vocab:
        # Compiles the numba kernel, which is no part of searching.
        retriever.retrieve([[next(iter(tokens.vocab))]], k=k, n_threads=1, show_progress=False)
    warmed = time.perf_counter()

    # A batch without any token is refused by `retrieve`, so queries without one stay outside.
    query_tokens = bm25s.tokenize(
        [query["text"] for query in queries],
        stopwords="en",
        stemmer=stemmer,
        return_ids=False,
        show_progress=False,
    )
    searchable = [i for i, words in enumerate(query_tokens) if words]
    rankings: list[list[tuple[str, float]]] = [[] for _ in queries]
    if searchable:
        numbers, scores = retriever.retrieve(
            [query_tokens[i] for i in searchable],
            k=k,
            n_threads=1,
            show_progress=False,
        )
        for row, i in enumerate(searchable):
            # The result is filled up with documents that do not match, at score 0.
            rankings[i] = [
                (documents[number]["id"], float(score))
                for number, score in zip(numbers[row], scores[row], strict=True)
                if score > 0
            ]
    searched = time.perf_counter()

    with Path(request["run"]).open("w", encoding="utf-8") as file:
        for query, ranking in zip(queries, rankings, strict=True):
            file.write(json.dumps({"query_id": query["id"], "ranking": ranking}) + "\n")
    packages = ["bm25s", "PyStemmer", "numpy", *(["numba"] if backend == "numba" else [])]
    report = {
        "settings": {
            "method": "lucene",
            "k1": request["k1"],
            "b": request["b"],
            "stopwords": "en",
            "stemmer": "PyStemmer english",
            "backend": backend,
        },
        "versions": {name: version(name) for name in packages},
        "notes": [],
        "build_seconds": indexed - started,
        "search_seconds": searched - warmed,
    }
    Path(request["report"]).write_text(json.dumps(report), encoding="utf-8")
    return 0


def read_jsonl(path: Path) -> list[dict[str, str]]:
    """The records of a JSON lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
