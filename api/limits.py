"""How many searches run at once, and how many may wait for their turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.problems import Problem


class SearchGate:
    """Lets a fixed number of searches run, a fixed number wait, and turns away the rest.

    Args:
        running: Searches at the same time.
        waiting: Requests that may wait.
        patience: Longest wait in seconds.
    """

    def __init__(self, running: int, waiting: int, patience: float) -> None:
        self._running = threading.BoundedSemaphore(running)
        self._waiting = threading.BoundedSemaphore(waiting) if waiting else None
        self._patience = patience

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Holds one of the running places.

        Raises:
            Problem: ``too_busy`` (429 with ``Retry-After``) when there is no room to wait or the
                wait took too long.
        """
        if not self._running.acquire(blocking=False):
            self._wait()
        try:
            yield
        finally:
            self._running.release()

    def _wait(self) -> None:
        if self._waiting is None or not self._waiting.acquire(blocking=False):
            raise _too_busy("The server is at its limit of running and waiting searches.")
        try:
            if not self._running.acquire(timeout=self._patience):
                raise _too_busy(f"No search finished within {self._patience:g} seconds.")
        finally:
            self._waiting.release()


def _too_busy(detail: str) -> Problem:
    return Problem("too_busy", f"{detail} Try again.", headers={"Retry-After": "1"})
