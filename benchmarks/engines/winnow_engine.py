"""Winnow: ``Searcher.search`` from the query string to document ids."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import protocol

from retriever.searcher import open_index


def main() -> None:
    """Arguments: index directory, file of query strings."""
    index, queries = Path(sys.argv[1]), Path(sys.argv[2])
    searcher = open_index(index)

    def search(query: str, k: int) -> list[str]:
        return [hit.doc_id for hit in searcher.search(query, k).hits]

    size = searcher.description().size_bytes
    protocol.serve(json.loads(queries.read_text()), search, {"index_bytes": size})


main()
