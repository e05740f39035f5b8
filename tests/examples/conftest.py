"""The corpus of the demonstration, written once for all tests of this folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "python_documentation.py"


@pytest.fixture(scope="session")
def python_documentation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the documentation of the running Python, one document a line."""
    folder = tmp_path_factory.mktemp("demo") / "python"
    command = [sys.executable, str(SCRIPT), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder
