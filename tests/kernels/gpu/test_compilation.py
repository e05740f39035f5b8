"""The kernels compile for GPUs, which needs none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("triton", reason="needs Triton, which there is for Linux")


def test_kernels_compile_and_add_nothing_atomically(tmp_path):
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(Path(__file__).with_name("compile_kernels.py")), "90"]
    subprocess.run(command, env=environment, check=True)
