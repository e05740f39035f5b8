"""What may be wrong with an installation, and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import distributions, packages_distributions, version
from pathlib import Path

from kernels.cpu.processors import usable_cpus

DISTRIBUTION = "winnow-search"
TOP_LEVEL = ("indexer", "retriever", "encoders", "kernels", "api", "eval")
OPTIONAL = {
    "torch": "encode",
    "transformers": "encode",
    "faiss": "hybrid",
    "tantivy": "peers",
    "bm25s": "peers",
    "pyserini": "lucene",
}


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis."""

    ok: bool
    text: str


def diagnose() -> list[Finding]:
    """Checks packages, clashes of names, the processor, the kernel cache and the default model."""
    findings = [
        Finding(True, f"python {platform.python_version()} at {sys.executable}"),
        Finding(True, f"processor: {instruction_sets()}, {usable_cpus()} cores"),
        *_clashes(),
        _kernel_cache(),
        _shipped_model(),
        _shipped_vectors(),
    ]
    for name in ("numpy", "numba", "pyarrow", "tokenizers"):
        findings.append(Finding(True, f"{name} {version(name)}"))
    for module, extra in OPTIONAL.items():
        found = importlib.util.find_spec(module) is not None
        hint = "installed" if found else f"not installed (optional): pip install '.[{extra}]'"
        findings.append(Finding(True, f"{module}: {hint}"))
    return findings


def instruction_sets() -> str:
    """The vector instructions that decide the speed of the kernels."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = [name for name in ("avx512f", "avx512bw", "avx2", "asimd") if name in flags]
    return f"{platform.machine()} ({', '.join(names) or 'no vector instructions known'})"


def _clashes() -> list[Finding]:
    """Distributions that own one of our top-level names, Hugging Face's ``kernels`` above all."""
    owners = packages_distributions()
    findings = []
    for name in TOP_LEVEL:
        others = sorted(set(owners.get(name, ())) - {DISTRIBUTION})
        if others:
            findings.append(
                Finding(
                    False,
                    f"the package name {name!r} is also owned by {', '.join(others)}: install "
                    "Winnow into an environment of its own (pipx, uv tool, a venv)",
                )
            )
    installed = {d.metadata["Name"] for d in distributions() if d.metadata["Name"]}
    if DISTRIBUTION not in installed:
        findings.append(
            Finding(False, f"{DISTRIBUTION} is not installed: run pip install . in its checkout")
        )
    return findings or [Finding(True, "no other package owns a name of ours")]


def _kernel_cache() -> Finding:
    import kernels.cpu  # which chooses the folder

    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(kernels.cpu.__path__[0], "__pycache__"))
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding(True, f"compiled kernels are cached in {folder}")
    except OSError as error:
        return Finding(
            False,
            f"compiled kernels cannot be cached in {folder} ({error.strerror}): every process "
            "would compile them again; set NUMBA_CACHE_DIR to a folder that can be written",
        )


def _shipped_model() -> Finding:
    from encoders.errors import EncoderError
    from encoders.exported import read_exported
    from encoders.shipped import SHIPPED_MODEL

    try:
        config, _, _ = read_exported(SHIPPED_MODEL)
    except EncoderError as error:
        return Finding(False, f"default model: {error} (install {DISTRIBUTION} again)")
    return Finding(True, f"default model: {config.source_hash}, every file as it was exported")


def _shipped_vectors() -> Finding:
    from encoders.dense_vectors import read_axes
    from encoders.errors import EncoderError
    from encoders.shipped import SHIPPED_VECTORS, static_vectors

    try:
        vectors = static_vectors()
        if vectors.dense is not None:
            read_axes(SHIPPED_VECTORS, vectors.dense)
    except EncoderError as error:
        return Finding(False, f"static vectors: {error} (install {DISTRIBUTION} again)")
    return Finding(True, f"static vectors: {vectors.dimensions} dimensions, whole")
