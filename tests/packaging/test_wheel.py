"""What the built distribution holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PACKAGES = {"api", "encoders", "eval", "indexer", "kernels", "retriever"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in a wheel that is built from a copy of the source tree."""
    try:
        version = metadata.version("setuptools")
    except metadata.PackageNotFoundError:
        pytest.skip("setuptools is not installed")
    if Version(version) < Version("77"):
        pytest.skip(f"the build needs setuptools 77, this environment has {version}")
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in [*PACKAGES, "tests"]:
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("LICENSE", "NOTICE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, source / name)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(output)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = output.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


def test_wheel_holds_the_six_packages_and_nothing_else(wheel: list[str]) -> None:
    top_level = {name.partition("/")[0] for name in wheel}
    assert {name for name in top_level if not name.endswith(".dist-info")} == PACKAGES


def test_wheel_holds_every_module(wheel: list[str]) -> None:
    modules = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
    }
    assert modules == {name for name in wheel if name.endswith(".py")}


def test_wheel_is_typed_and_licensed(wheel: list[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel)
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in wheel}


def test_wheel_holds_the_data_of_the_query_side(wheel: list[str]) -> None:
    data = [file.name for file in (ROOT / "encoders" / "query" / "data").iterdir()]
    assert data
    assert {f"encoders/query/data/{name}" for name in data} <= set(wheel)


def test_wheel_holds_the_model(wheel: list[str]) -> None:
    folder = ROOT / "encoders" / "models"
    files = {path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "encoders/models/english/body.onnx" in files
    assert files <= set(wheel)
