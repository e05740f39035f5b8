"""Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

INTERVAL_SECONDS = 10.0


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
        yield _lines()


@contextlib.contextmanager
def _bar(source: ByteCounter) -> Iterator[Callable[[str, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]:,} documents"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    started = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("encoding", total=source.bytes_total, done=0, rate=0.0)

        def update(stage: str, done: int) -> None:
            if stage == "encode":
                rate = done / max(time.perf_counter() - started, 1e-9)
                progress.update(task, completed=source.bytes_read, done=done, rate=rate)
            else:
                progress.update(task, description="writing the index")

        yield update


def _lines() -> Callable[[str, int], None]:
    started = last = time.perf_counter()

    def update(stage: str, done: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if stage == "encode" and now - last >= INTERVAL_SECONDS:
            last = now
            rate = done / (now - started)
            print(f"encoded {done:,} documents, {rate:,.0f}/s", file=sys.stderr)  # noqa: T201

    return update
