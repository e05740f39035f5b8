"""Compiled kernels of an installation that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kernels.cpu.compiled as compiled
from kernels.cpu.compiled import VARIABLE, keep_compiled

SCRIPT = """
import numpy as np
from kernels.cpu.lookup import _add_scores
from kernels.cpu.vectors import pool_query

vectors, weights = np.ones((3, 4), np.int8), np.ones(3, np.float32)
sums = np.empty(4), np.empty(4, np.int32)
pool_query(np.arange(2), np.ones(2), vectors, weights, *sums)
stats = pool_query.stats
print(stats.cache_path, len(stats.cache_hits), len(stats.cache_misses))
"""


@pytest.fixture
def installed(tmp_path) -> Path:
    """A copy of the kernels, where nothing was compiled yet."""
    folder = tmp_path / "site"
    source = Path(compiled.__file__).parents[1]
    shutil.copytree(source, folder / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(installed: Path, home: Path, *, read_only: bool, **variables: str) -> list[str]:
    """Cache folder, hits and misses of a process that calls a kernel."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    environment |= {"PYTHONPATH": str(installed), "HOME": str(home), **variables}
    script = SCRIPT
    if read_only:  # for root, too, whom permissions do not stop
        script = f"""
import builtins, os, pathlib, tempfile

def refuse(call):
    def checked(*arguments, **options):
        at = str(options.get("dir") or (arguments[0] if arguments else ""))
        if at.startswith({str(installed)!r}):
            raise PermissionError(13, "read-only")
        return call(*arguments, **options)
    return checked

tempfile.TemporaryFile = refuse(tempfile.TemporaryFile)
os.access = refuse(os.access)
{SCRIPT}"""
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()


def test_what_was_compiled_is_used_when_the_installation_is_read_only(installed, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    place, hits, misses = run(installed, home, read_only=False)
    assert (Path(place), hits, misses) == (installed / "kernels/cpu/__pycache__", "0", "1")
    place, hits, misses = run(installed, home, read_only=True)
    assert Path(place).is_relative_to(home / ".cache" / "winnow")
    assert (hits, misses) == ("1", "0")


def test_without_a_home_they_are_kept_among_temporary_files(installed, tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    temporary.mkdir()
    home.write_text("no folder")
    for hits, misses in (("0", "1"), ("1", "0")):
        found = run(
            installed, tmp_path, read_only=True, TMPDIR=str(temporary), XDG_CACHE_HOME=str(home)
        )
        assert Path(found[0]).is_relative_to(temporary / f"winnow-kernels-{os.getuid()}")
        assert found[1:] == [hits, misses]


def test_a_folder_that_others_can_write_is_not_trusted(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(compiled.tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"winnow-kernels-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    other = compiled._temporary_cache()
    assert other != folder
    folder.chmod(0o700)
    assert compiled._temporary_cache() == folder


def test_a_folder_of_the_user_s_own_choice_stays(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert keep_compiled() is None
    assert os.environ[VARIABLE] == str(tmp_path)
