"""How a benchmark talks to an engine in a process of its own: JSON lines over pipes.

An engine is a script that any interpreter with the engine can run by its path (standard library
and numpy only). Its one argument is a JSON object with the paths of what it reads and a ``phase``:

* ``build`` writes the index into ``folder`` and, last, ``built.json`` with seconds and versions;
* ``serve`` opens it and answers commands on standard input, one object a line.

Commands name a *cell*, a way of searching (a boundary, or a setting of an approximate engine):

* ``{"command": "pass", "cell": C, "k": 10}`` runs every query once: nanoseconds per query;
* ``{"command": "results", "cell": C, "k": 10, "limit": 1000}``: record numbers, best first, of the
  first so many queries;
* ``{"command": "throughput", "cell": C, "k": 10, "threads": 2}``: seconds for all queries;
* ``{"command": "info"}``: versions, build seconds, index bytes, peak memory.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WARM_QUERIES = 200


@dataclass(frozen=True)
class Cell:
    """One way of searching.

    Attributes:
        boundary: ``whole`` (query as a user has it, to document ids) or ``kernel`` (prepared
            query to numbers).
        search: From a query and k to record numbers (or ids that are such numbers).
        queries: What ``search`` takes.
        setting: Settings of an approximate engine, empty for an exact one.
        batch: Seconds for all queries on so many threads, where the engine has a way of its own.
    """

    boundary: str
    search: Callable[[Any, int], Sequence[Any]]
    queries: Sequence[Any]
    setting: str = ""
    batch: Callable[[int, int], float] | None = None


def run(
    build: Callable[[dict[str, Any], Path], dict[str, Any]],
    open_cells: Callable[[dict[str, Any], Path], dict[str, Cell]],
) -> None:
    """The main function of an engine's script.

    Args:
        build: Writes the index of a request into a folder; returns what to record.
        open_cells: Opens it; returns the cells by name.
    """
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    stamp = folder / "built.json"
    if request["phase"] == "build":
        if stamp.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        begin = time.perf_counter()
        recorded = build(request, folder)
        recorded.setdefault("build_seconds", time.perf_counter() - begin)
        recorded["build_peak_rss_bytes"] = _peak_rss()
        stamp.write_text(json.dumps(recorded))
        return
    serve(open_cells(request, folder), json.loads(stamp.read_text()))


def serve(cells: dict[str, Cell], info: dict[str, Any]) -> None:
    """Answers commands on standard input until it ends."""
    for cell in cells.values():
        for k in (10, 100, 1000):
            for query in cell.queries[:WARM_QUERIES]:
                cell.search(query, k)
    _reply(
        {
            "cells": {
                name: {"boundary": c.boundary, "setting": c.setting} for name, c in cells.items()
            }
        }
    )
    for line in sys.stdin:
        command = json.loads(line)
        if command["command"] == "info":
            _reply({**info, "peak_rss_bytes": _peak_rss()})
            continue
        cell, k = cells[command["cell"]], command["k"]
        if command["command"] == "pass":
            _reply({"times": _pass(cell, k)})
        elif command["command"] == "results":
            queries = cell.queries[: command["limit"]]
            found = [[int(i) for i in cell.search(query, k)] for query in queries]
            _reply({"results": found})
        else:
            _reply({"seconds": _throughput(cell, k, command["threads"])})


def _pass(cell: Cell, k: int) -> list[int]:
    search, times = cell.search, []
    for query in cell.queries:
        begin = time.perf_counter_ns()
        search(query, k)
        times.append(time.perf_counter_ns() - begin)
    return times


def _throughput(cell: Cell, k: int, threads: int) -> float:
    if cell.batch is not None:
        return cell.batch(k, threads)

    def share(first: int) -> None:
        for query in cell.queries[first::threads]:
            cell.search(query, k)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(share, range(threads)))  # the threads exist, with their scratch memory
        begin = time.perf_counter()
        list(pool.map(share, range(threads)))
        return time.perf_counter() - begin


def folder_bytes(folder: Path, pattern: str = "*") -> int:
    """Bytes of the files below a folder that match a pattern, without the stamp."""
    files = (path for path in folder.rglob(pattern) if path.name != "built.json")
    return sum(path.stat().st_size for path in files if path.is_file())


def _peak_rss() -> int:
    """Of this program alone; ``getrusage`` would count the process that it was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


def _reply(message: dict[str, Any]) -> None:
    _OUTPUT.write(json.dumps(message) + "\n")
    _OUTPUT.flush()


# What engines print themselves must not get between the answers.
_OUTPUT = os.fdopen(os.dup(sys.stdout.fileno()), "w")
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
