"""Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

INTERVAL_SECONDS = 10.0

PACE_SECONDS = 60.0
"""The pace is that of the last minute: rows that a resumed build reads come fast, then no more."""


class ByteCounter(Protocol):
    """A source that knows how far it has been read."""

    @property
    def bytes_total(self) -> int | None:
        """Bytes in all, if known."""
        ...

    @property
    def bytes_read(self) -> int:
        """Bytes read so far."""
        ...


@dataclass
class Pace:
    """How fast documents are encoded, and how long the rest takes.

    Attributes:
        source: The corpus.
        clock: Seconds from any origin.
    """

    source: ByteCounter
    clock: Callable[[], float] = time.perf_counter
    _samples: deque[tuple[float, int, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._samples.append((self.clock(), 0, 0))

    def update(self, done: int) -> None:
        """Notes the number of documents done so far."""
        now = self.clock()
        self._samples.append((now, done, self.source.bytes_read))
        # However slow a batch is, there are two samples.
        while len(self._samples) > 2 and self._samples[1][0] <= now - PACE_SECONDS:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Documents per second, 0 before the first ones."""
        first, last = self._samples[0], self._samples[-1]
        return (last[1] - first[1]) / max(last[0] - first[0], 1e-9)

    @property
    def remaining(self) -> float | None:
        """Seconds until the corpus is read, ``None`` where its size or the pace is unknown."""
        first, last = self._samples[0], self._samples[-1]
        total, read = self.source.bytes_total, last[2] - first[2]
        # Files are read ahead of what is encoded: at their end nothing is known of the rest.
        if total is None or read <= 0 or last[2] >= total:
            return None
        return (total - last[2]) * (last[0] - first[0]) / read

    def render(self) -> str:
        """Documents per second and the time that is left, if known."""
        text = f"{self.rate:,.{0 if self.rate >= 10 else 1}f}/s"
        if self.remaining is None:
            return text
        hours, seconds = divmod(round(self.remaining), 3600)
        return f"{text}, {hours}:{seconds // 60:02}:{seconds % 60:02} left"


@contextlib.contextmanager
def show_progress(source: ByteCounter, *, quiet: bool) -> Iterator[Callable[[str, int], None]]:
    """Gives a callback for ``(stage, documents done)``.

    Args:
        source: The corpus; its bytes drive the bar.
        quiet: Show nothing.
    """
    if quiet:
        yield lambda stage, done: None
    elif sys.stderr.isatty():
        with _bar(source) as update:
            yield update
    else:
        yield _lines(source)


@contextlib.contextmanager
def _bar(source: ByteCounter) -> Iterator[Callable[[str, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]:,} documents"),
        TextColumn("{task.fields[pace]}"),
    )
    pace = Pace(source)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("encoding", total=source.bytes_total, done=0, pace="")

        def update(stage: str, done: int) -> None:
            if stage == "encode":
                pace.update(done)
                progress.update(task, completed=source.bytes_read, done=done, pace=pace.render())
            else:
                progress.update(task, description="writing the index", pace="")

        yield update


def _lines(source: ByteCounter) -> Callable[[str, int], None]:
    pace = Pace(source)
    last = pace.clock()

    def update(stage: str, done: int) -> None:
        nonlocal last
        if stage != "encode":
            return
        pace.update(done)
        now = pace.clock()
        if now - last >= INTERVAL_SECONDS:
            last = now
            print(f"encoded {done:,} documents, {pace.render()}", file=sys.stderr)  # noqa: T201

    return update
