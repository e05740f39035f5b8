"""BM25 engines on given texts, each in its own process, for a benchmark that times Winnow itself.

Stop words are kept. Lucene starts from a string of words, tantivy from Winnow's tokens; both end
with document ids, Lucene from its store and from doc values.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.engine.child import ENGINES, Child, build
from benchmarks.engine.comparison import request_for
from benchmarks.engine.datasets import write_texts
from encoders.query.analyzer import create_analyzer

ANALYZER = "english-all-words"


class TextPeer:
    """A way of searching of a running engine; calling it asks every question once."""

    def __init__(self, child: Child, cell: str, k: int) -> None:
        self._child, self._cell, self._k = child, cell, k

    @property
    def name(self) -> str:
        """The engine, and its setting where it has one."""
        return f"{self._child.engine.name} {self._child.cells[self._cell]['setting']}".strip()

    def __call__(self) -> list[int]:
        """Nanoseconds per question."""
        times: list[int] = self._child.ask("pass", cell=self._cell, k=self._k)["times"]
        return times


def start_peers(
    names: Sequence[str], texts: Sequence[str], questions: Sequence[str], folder: Path, k: int
) -> list[TextPeer]:
    """Builds what is missing in ``folder`` and starts the engines.

    Args:
        names: Engines of ``benchmarks.engine`` that take text.
        texts: Of the documents.
        questions: As people typed them.
        folder: For tokens and indexes, used again when it is there.
        k: Number of hits.

    Raises:
        EngineError: An engine is not installed, or its build failed.
        LuceneNotFoundError: The same of Lucene.
    """
    if not (folder / "description.json").exists():
        write_texts(folder, texts, create_analyzer(ANALYZER), {"standard": questions})
    description = json.loads((folder / "description.json").read_text())
    peers = []
    for engine in ENGINES:
        if engine.name not in names:
            continue
        request = request_for(folder, description, engine, folder / "standard.json")
        build(engine, folder, request)
        child = Child(engine, folder, request)
        peers += [
            TextPeer(child, cell, k)
            for cell, described in child.cells.items()
            if described["boundary"] == "whole"
        ]
    return peers
