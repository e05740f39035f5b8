"""What a result says of how it was made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.reporting import provenance


def test_paths_of_one_machine_are_cut_to_their_last_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data, model = tmp_path / "data", tmp_path / "model"
    arguments = ["--data", str(data), "--checkpoint", f"ours={model}", "-o", "a/b.json"]
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "evaluate.py"), *arguments])
    command = provenance()["command"]
    assert command.endswith(" --data data --checkpoint ours=model -o a/b.json")


def test_the_command_names_the_whole_module() -> None:
    specification = sys.modules["__main__"].__spec__
    if specification is None:
        pytest.skip("not run as python -m")
    assert provenance()["command"].startswith(
        f"python -m {specification.name.removesuffix('.__main__')} "
    )
