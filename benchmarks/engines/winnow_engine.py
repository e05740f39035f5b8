"""Winnow as a whole: ``Searcher.rank`` from the query string to document ids."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import protocol

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.engine.winnow_index import build_index_of
from retriever.searcher import open_index


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """An index of one segment; ids are record numbers."""
    build_index_of(request, folder / "index")
    return {
        "index_bytes": protocol.folder_bytes(folder, "*.postings.*"),
        "folder_bytes": protocol.folder_bytes(folder),
    }


def open_cells(request: dict[str, Any], folder: Path) -> dict[str, protocol.Cell]:
    """From strings to ids."""
    searcher = open_index(folder / "index")

    def search(query: str, k: int) -> list[str]:
        return searcher.rank(query, k)[0]

    queries = json.loads(Path(request["queries"]).read_text())["strings"]
    return {"whole": protocol.Cell("whole", search, queries)}


protocol.run(build, open_cells)
