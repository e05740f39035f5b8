"""Readiness: the first search of each index compiles or loads its kernels."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Literal

from api.searcher import SearcherLike

logger = logging.getLogger(__name__)

QUERY = "first second new time way year people part work state system data use make find result"
"""Words that most English collections hold some of, to touch stored texts and analyzers."""


class WarmUp:
    """Searches every index once, in a thread of its own, so that starting does not wait for it.

    Attributes:
        status: ``starting`` until all indexes answered, then ``ready``; ``failed`` if one did not.
    """

    def __init__(
        self,
        searchers: Mapping[str, SearcherLike],
        on_end: Callable[[WarmUp], None] | None = None,
    ) -> None:
        self.status: Literal["starting", "ready", "failed"] = "starting"
        self._searchers = searchers
        self._on_end = on_end
        self._thread = threading.Thread(target=self._run, name="warm-up", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the warm-up has ended."""
        self._thread.join(timeout)

    def _run(self) -> None:
        failed = False
        for name, searcher in self._searchers.items():
            try:
                searcher.warm_up()
                searcher.search(QUERY, 10, explain=True, highlight=True)
            except Exception:
                failed = True
                logger.exception("index %s does not answer", name)
        self.status = "failed" if failed else "ready"
        if self._on_end:
            self._on_end(self)
