"""The command line starts fast because it loads nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = {
    *("bm25s", "faiss", "flask", "flask_openapi3", "gunicorn", "ir_measures", "numba", "numpy"),
    *("onnxruntime", "pyarrow", "pydantic", "rich", "scipy", "tantivy", "tokenizers", "torch"),
    *("transformers", "werkzeug"),
}
PYTHON_MODULE = (sys.executable, "-m", "indexer")
CONSOLE_SCRIPT = (str(Path(sys.executable).with_name("indexer")),)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_help_imports_nothing_heavy() -> None:
    report = run(sys.executable, "-X", "importtime", "-m", "indexer", "--help").stderr
    imported = set(re.findall(r"^import time:.*\|\s*(\w+)", report, re.MULTILINE))
    assert "click" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize("command", [PYTHON_MODULE, CONSOLE_SCRIPT], ids=["module", "script"])
def test_help_lists_the_commands(command: tuple[str, ...]) -> None:
    if not Path(command[0]).exists():
        pytest.skip("the package is not installed in this environment")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        answer = run(*command, "--help").stdout
        seconds.append(time.perf_counter() - start)
    print(f"{' '.join(command)} --help: {min(seconds):.3f} s")
    for name in ("build", "add", "delete", "inspect", "verify", "search", "serve", "doctor"):
        assert re.search(rf"^  {name}\b", answer, re.MULTILINE)
