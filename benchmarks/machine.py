"""The machine and the versions behind a figure."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def describe_machine() -> dict[str, str | int]:
    """Processor, vector instructions, cores, and versions of what decides speed."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    names = ("avx512f", "avx2", "asimd")
    result: dict[str, str | int] = {
        "processor": models[0] if models else platform.processor(),
        "instructions": next((name for name in names if name in info), "unknown"),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
    }
    for package in ("winnow-search", "numpy", "numba", "pyarrow", "bm25s", "tantivy", "torch"):
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            continue
    return result
