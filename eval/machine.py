"""What a figure was made with: the machine and the versions of packages."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kernels.cpu.processors import usable_cpus

PACKAGES = (
    "winnow-search",
    "ir-measures",
    "pytrec-eval-terrier",
    "numpy",
    "scipy",
    "numba",
    "pyarrow",
    "tokenizers",
    "PyStemmer",
    "torch",
    "transformers",
)
"""Distributions that take part in a figure, where they are installed."""

_INSTRUCTION_SETS = (
    ("avx512", {"avx512f", "avx512bw"}),
    ("avx2", {"avx2"}),
    ("sse4.2", {"sse4_2"}),
    ("sve", {"sve"}),
    ("neon", {"asimd"}),
)


class Machine(BaseModel):
    """Processor and interpreter.

    Attributes:
        cpu: Model name.
        instruction_set: Widest vector instructions: ``avx512``, ``avx2``, ``neon``, ..., or the
            architecture where they are not known.
        cores: Logical cores that this process may use.
        python: Version of the interpreter.
        system: Operating system.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: str
    instruction_set: str
    cores: int
    python: str
    system: str


def describe_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """The machine this runs on; ``cpuinfo`` is Linux' file of that name."""
    fields = _cpuinfo(cpuinfo)
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    instruction_set = next(
        (name for name, needed in _INSTRUCTION_SETS if needed <= flags), platform.machine()
    )
    return Machine(
        cpu=fields.get("model name") or platform.processor() or platform.machine(),
        instruction_set=instruction_set,
        cores=usable_cpus(),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
    )


def load_average() -> float | None:
    """The one-minute load average, ``None`` where the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def package_versions() -> dict[str, str]:
    """Versions of the ``PACKAGES`` that are installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _cpuinfo(path: Path) -> dict[str, str]:
    """The fields of the first processor; empty where there is no such file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    return fields
