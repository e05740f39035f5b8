"""Facts about the files of the repository."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "encoders", "eval", "indexer", "kernels", "retriever")
SOURCES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))

OWN_MACHINE = re.compile(r"(?<![\w.~$}>-])/(?:home|root|tmp|work|Users|opt)/[\w.]")
REGISTRY = re.compile(r"pypi\.org|pythonhosted\.org|download\.pytorch\.org", re.IGNORECASE)


@pytest.fixture(scope="module")
def committed_texts() -> dict[str, str]:
    """Content of every text file that git tracks or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    texts = {}
    for name in filter(None, listing.stdout.split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:
            texts[name] = content.decode("utf-8")
    return texts


def places(pattern: re.Pattern[str], texts: dict[str, str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_file_names_a_path_of_one_machine(committed_texts: dict[str, str]) -> None:
    assert places(OWN_MACHINE, committed_texts) == []


def test_no_file_names_a_package_registry(committed_texts: dict[str, str]) -> None:
    assert places(REGISTRY, committed_texts) == []


@pytest.mark.parametrize("folder", ["home", "opt", "root", "tmp", "work", "Users"])
def test_only_paths_of_a_machine_are_recognised(folder: str) -> None:
    assert OWN_MACHINE.search(f"file:///{folder}/x")
    assert OWN_MACHINE.search(f"Path('/{folder}/x')")
    assert not OWN_MACHINE.search(f"https://example.org/{folder}/x")
    assert not OWN_MACHINE.search(f"../{folder}/x")


def test_public_modules_have_docstrings() -> None:
    undocumented = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if file.stat().st_size and not ast.get_docstring(ast.parse(file.read_text("utf-8")))
    ]
    assert undocumented == []


def test_no_source_file_is_longer_than_400_lines() -> None:
    lengths = {str(f.relative_to(ROOT)): len(f.read_text("utf-8").splitlines()) for f in SOURCES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_notice_names_the_files_made_by_others() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    data = [f for f in (ROOT / "encoders" / "query" / "data").iterdir() if f.is_file()]
    assert data
    for file in data:
        assert file.relative_to(ROOT).as_posix() in notice


def test_licence_is_the_whole_apache_licence() -> None:
    licence = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
