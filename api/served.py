"""The indexes of a server: opened once, shared by its threads, moved to new generations."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import current_app

from api.limits import SearchGate
from api.problems import Problem
from api.searcher import SearcherLike
from api.settings import ServeSettings
from api.warmup import WarmUp
from indexer.errors import IndexerError
from retriever.searcher import open_index

logger = logging.getLogger(__name__)


class ServedIndex:
    """One searcher under the name by which clients know it."""

    def __init__(self, name: str, searcher: SearcherLike, refresh_seconds: float) -> None:
        self.name = name
        self.searcher = searcher
        self._refresh_seconds = refresh_seconds
        self._looked_at = time.monotonic()
        self._refreshing = threading.Lock()

    def refresh(self) -> None:
        """Looks for a new generation unless somebody did so a moment ago.

        An index that cannot be refreshed (it was moved away, or is being copied) is served as
        it was.
        """
        if time.monotonic() - self._looked_at < self._refresh_seconds:
            return
        if not self._refreshing.acquire(blocking=False):
            return
        try:
            if self.searcher.refresh():
                logger.info("index %s: now at generation %d", self.name, self.searcher.generation)
        except (IndexerError, OSError) as error:
            logger.warning("index %s: cannot look for a new generation: %s", self.name, error)
        finally:
            self._looked_at = time.monotonic()
            self._refreshing.release()

    def pinned(self) -> SearcherLike:
        """A searcher of what is served now, for one request, whatever is refreshed meanwhile."""
        return self.searcher.pinned()


@dataclass(frozen=True)
class Service:
    """Everything that the routes share."""

    indexes: Mapping[str, ServedIndex]
    settings: ServeSettings
    gate: SearchGate
    warm_up: WarmUp

    def index(self, name: str) -> ServedIndex:
        """The index of this name, at its newest generation.

        Raises:
            Problem: ``unknown_index``.
        """
        served = self.indexes.get(name)
        if served is None:
            raise Problem(
                "unknown_index",
                f"There is no index {name[:100]!r}; GET /v1/indexes lists those that there are.",
            )
        served.refresh()
        return served


def current_service() -> Service:
    """The service of the current request's application."""
    service: Service = current_app.extensions["winnow"]
    return service


def open_indexes(indexes: Mapping[str, Path | str | SearcherLike]) -> dict[str, SearcherLike]:
    """Opens each path; searchers are taken as they are.

    Raises:
        IndexerError: An index is missing, broken or of an unknown format.
    """
    return {
        name: open_index(Path(index)) if isinstance(index, Path | str) else index
        for name, index in indexes.items()
    }
