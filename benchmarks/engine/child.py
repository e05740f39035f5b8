"""Engines as child processes: which there are, how they are built, started and asked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engine.lucene import find_jar, java_command

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "benchmarks" / "engines"
_FIND_MODULE = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


class EngineError(Exception):
    """An engine is not there, or its process ended."""


@dataclass(frozen=True)
class Engine:
    """An engine of the comparison.

    Attributes:
        name: What the table calls it. The interpreter that has it is that of the variable
            ``WINNOW_<NAME>_PYTHON``, by default the one that runs the benchmark.
        script: Its script in ``benchmarks/engines``; empty for Lucene, which is a Java program.
        kinds: Data sets that it can serve.
        module: What the interpreter must have.
        options: Settings of its build.
    """

    name: str
    script: str
    kinds: tuple[str, ...]
    module: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variable(self) -> str:
        """Environment variable that names its interpreter."""
        return f"WINNOW_{self.name.upper().replace('-', '_')}_PYTHON"

    @property
    def interpreter(self) -> str:
        """Path of the Python interpreter."""
        return os.environ.get(self.variable) or sys.executable

    def command(self, work: Path) -> list[str]:
        """The command line, without the request.

        Raises:
            EngineError: The engine is not installed; the message says why.
        """
        if not self.script:
            return java_command(self.interpreter, work)
        if self.module:
            answer = subprocess.run([self.interpreter, "-c", _FIND_MODULE, self.module])
            if answer.returncode:
                raise EngineError(
                    f"{self.interpreter} has no {self.module}: name another one by {self.variable}"
                )
        return [self.interpreter, str(SCRIPTS / self.script)]

    def environment(self) -> dict[str, str]:
        """One thread for everything that asks OpenMP; the interpreter's own libraries."""
        libraries = [str(Path(self.interpreter).parents[1] / "lib")]
        libraries += filter(None, [os.environ.get("LD_LIBRARY_PATH")])
        result = {**os.environ, "OMP_NUM_THREADS": "1"}
        result["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
        if self.name.startswith("winnow"):
            result["PYTHONPATH"] = str(ROOT)
        return result

    def folder(self, dataset: Path) -> Path:
        """Folder of its index; the name of ours changes with the code that decides the format."""
        options = "".join(f"-{key}-{value}" for key, value in sorted(self.options.items()))
        suffix = ""
        if self.name.startswith("winnow"):
            suffix = f"-{_format_digest()}"
        elif not self.script:  # versions of Lucene do not share an index
            suffix = f"-{Path(find_jar(self.interpreter)).stem}"
        return dataset / f"{self.name}{options}{suffix}"


ENGINES = (
    Engine("winnow-kernel", "winnow_kernel.py", ("impacts",)),
    Engine("winnow", "winnow_engine.py", ("impacts", "text")),
    Engine("lucene", "", ("impacts", "text")),
    Engine("pisa", "pisa_engine.py", ("impacts",), "pyterrier_pisa"),
    Engine("splade-index", "splade_index_engine.py", ("impacts",), "splade_index"),
    Engine("bmp", "bmp_engine.py", ("impacts",), "bmp"),
    Engine("seismic", "seismic_engine.py", ("impacts",), "seismic", {"n_postings": 1000}),
    Engine("tantivy", "tantivy_engine.py", ("text",), "tantivy"),
    Engine("bm25s", "bm25s_engine.py", ("text",), "bm25s"),
)


class Child:
    """A running engine; see ``benchmarks/engines/protocol.py`` for what it answers."""

    def __init__(self, engine: Engine, work: Path, request: Mapping[str, Any]) -> None:
        command = [*engine.command(work), json.dumps({**request, "phase": "serve"})]
        self.engine = engine
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=engine.environment(),
        )
        self.cells: dict[str, dict[str, str]] = self._read()["cells"]

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Sends one command and waits for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EngineError(f"its process ended with status {self._process.wait()}")
        result: dict[str, Any] = json.loads(line)
        return result

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def build(engine: Engine, work: Path, request: Mapping[str, Any]) -> None:
    """Builds an engine's index in a process of its own, if it is not there.

    Raises:
        EngineError: The engine is not installed or its build failed.
    """
    folder = Path(request["folder"])
    command = engine.command(work)
    if (folder / "built.json").exists():
        return
    if engine.name.startswith("winnow"):
        for stale in folder.parent.glob(f"{engine.name}-{'[0-9a-f]' * 12}"):
            shutil.rmtree(stale)
    print(f"building {folder.parent.name}/{folder.name}", flush=True)
    arguments = [*command, json.dumps({**request, "phase": "build"})]
    status = subprocess.run(arguments, env=engine.environment(), stdout=sys.stderr).returncode
    if status:
        raise EngineError(f"its build ended with status {status}")


def _format_digest() -> str:
    """Changes when the files that decide what an index looks like do."""
    kernels = [ROOT / "kernels" / "cpu" / f"{name}.py" for name in ("inversion", "layout")]
    files = [*kernels, *(ROOT / "indexer" / "format").glob("*.py")]
    content = [path.read_bytes() for path in sorted(files)]
    return hashlib.sha256(b"\0".join(content)).hexdigest()[:12]
