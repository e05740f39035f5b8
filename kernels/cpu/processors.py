"""How many processors there are to use."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """CPUs that this process may run on, at least 1; a container or ``taskset`` may leave few.

    >>> usable_cpus() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
