"""What importing the packages loads, and what the entry points lead to."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from indexer.cli import COMMANDS

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "entry-points"
]
SERVING_PATH = ("api", "retriever", "indexer/format", "encoders/query", "kernels/cpu")


def modules_of(package: str) -> list[str]:
    files = sorted((ROOT / package).rglob("*.py"))
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files]
    return [".".join(p).removesuffix(".__init__") for p in parts if p[-1] != "__main__"]


def test_serving_path_loads_neither_torch_nor_transformers() -> None:
    modules = [module for package in SERVING_PATH for module in modules_of(package)]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*{'torch', 'transformers', 'triton', 'ranx'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_kernels_is_an_empty_package() -> None:
    # transformers may import it while it is itself being imported.
    assert (ROOT / "kernels" / "__init__.py").read_bytes() == b""


def test_command_line_lists_the_entry_points() -> None:
    targets = {name: target for name, (target, _) in COMMANDS.items()}
    assert targets == ENTRY_POINTS["winnow.commands"]


@pytest.mark.parametrize("name", ENTRY_POINTS["winnow.commands"])
def test_command_exists(name: str) -> None:
    module, _, attribute = ENTRY_POINTS["winnow.commands"][name].partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


@pytest.mark.parametrize("name", ENTRY_POINTS["winnow.encoders"])
def test_encoder_factory_exists(name: str) -> None:
    module, _, attribute = ENTRY_POINTS["winnow.encoders"][name].partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))
