"""Runs on disk, so that a further system does not make the others search and encode again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Run = Mapping[str, Sequence[tuple[str, float]]]


class KeptRuns:
    """First ranks of systems by collection.

    A run belongs to an identity, a line that says what made it (a hash of the weights, settings,
    a version); under another identity it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, place: str, system: str, identity: str) -> tuple[Run, dict[str, Any]] | None:
        """The run and what was noted with it."""
        if not self._path(place, system).is_file():
            return None
        content = json.loads(self._path(place, system).read_text(encoding="utf-8"))
        if content["identity"] != identity:
            return None
        return _hits(content), content["notes"]

    def read_any(self, place: str, system: str) -> Run:
        """The run, whatever made it.

        Raises:
            FileNotFoundError: There is none.
        """
        return _hits(json.loads(self._path(place, system).read_text(encoding="utf-8")))

    def write(
        self, place: str, system: str, identity: str, run: Run, notes: Mapping[str, Any]
    ) -> None:
        """Keeps a run."""
        path = self._path(place, system)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"identity": identity, "notes": notes, "run": run}
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(path)

    def _path(self, place: str, system: str) -> Path:
        return self._directory / place.replace(":", "-") / f"{system.replace(' ', '_')}.json"


def _hits(content: Mapping[str, Any]) -> Run:
    return {
        query_id: [(doc_id, score) for doc_id, score in hits]
        for query_id, hits in content["run"].items()
    }
