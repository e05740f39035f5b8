"""How a benchmark talks to an engine in a process of its own: JSON lines over pipes.

An engine is a script with a class that has ``versions``, ``build(tokens, ids)`` (or ``open``) and
``search(query, k) -> ids``. :func:`serve` answers the driver's commands:

* ``{"command": "pass", "k": 10}`` runs every query once and returns nanoseconds per query;
* ``{"command": "results", "k": 10}`` returns the ids per query;
* ``{"command": "info"}`` returns versions, build seconds, index bytes and peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any


def serve(
    queries: Sequence[Any], search: Callable[[Any, int], Sequence[str]], info: dict[str, Any]
) -> None:
    """Answers commands on standard input until it ends."""
    for query in queries[:200]:
        search(query, 10)
    _reply({"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        if command["command"] == "pass":
            k = command["k"]
            times = []
            for query in queries:
                begin = time.perf_counter_ns()
                search(query, k)
                times.append(time.perf_counter_ns() - begin)
            _reply({"times": times})
        elif command["command"] == "results":
            _reply({"results": [list(search(query, command["k"])) for query in queries]})
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            _reply({**info, "peak_rss_bytes": peak})


def _reply(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
