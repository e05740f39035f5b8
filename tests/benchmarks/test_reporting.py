"""What a result says of how it was made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reporting import commit, provenance


def test_paths_of_one_machine_are_cut_to_their_last_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data, model = tmp_path / "data", tmp_path / "model"
    arguments = ["--data", str(data), "--checkpoint", f"ours={model}", "-o", "a/b.json"]
    arguments += ["--vectors", f"minilm:{model}", "--url", "http://host/a"]
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "evaluate.py"), *arguments])
    command = provenance()["command"]
    assert command.endswith(
        " --data data --checkpoint ours=model -o a/b.json --vectors minilm:model --url http://host/a"
    )


def test_the_command_names_the_whole_module() -> None:
    specification = sys.modules["__main__"].__spec__
    if specification is None:
        pytest.skip("not run as python -m")
    assert provenance()["command"].startswith(
        f"python -m {specification.name.removesuffix('.__main__')} "
    )


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path) -> None:
    assert commit(tmp_path) is None

    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *settings, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    assert commit(tmp_path) is None
    (tmp_path / "code.py").write_text("one")
    git("add", "code.py")
    git("commit", "--no-gpg-sign", "-m", "One")
    name = git("rev-parse", "--short", "HEAD")
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "memory.json").write_text("{}")
    assert commit(tmp_path) == name
    (tmp_path / "code.py").write_text("two")
    assert commit(tmp_path) == f"{name}+changes"
    inside = tmp_path / "archive"
    inside.mkdir()
    assert commit(inside) is None
