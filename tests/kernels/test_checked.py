"""The kernels as plain Python, and compiled with bounds checks, give the same answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TESTS = Path(__file__).with_name("test_scoring.py")


def check(environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)]
    done = subprocess.run(
        [*command, "-W", "ignore", "-k", "brute_force or rare or exact_scores"],
        env=environment,
        cwd=TESTS.parents[2],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


def test_as_plain_python():
    check({**os.environ, "NUMBA_DISABLE_JIT": "1"})


def test_with_bounds_checks(checked_kernels):
    check(checked_kernels)
