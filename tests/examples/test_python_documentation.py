"""The corpus that `make demo` indexes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "python_documentation.py"


@pytest.fixture(scope="module")
def documents(python_documentation: Path) -> dict[str, dict[str, Any]]:
    lines = (python_documentation / "documents.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert len({document["doc_id"] for document in found}) == len(found)
    return {document["doc_id"]: document for document in found}


def test_holds_thousands_of_documents_of_every_kind(documents: dict[str, dict[str, Any]]) -> None:
    assert len(documents) > 5000
    kinds = {document["kind"] for document in documents.values()}
    assert kinds == {"module", "class", "function", "method"}
    assert all(document["text"] and document["title"] for document in documents.values())


def test_is_the_same_whatever_the_hash_seed(python_documentation: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path)]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)
    again = (tmp_path / "documents.jsonl").read_bytes()
    assert again == (python_documentation / "documents.jsonl").read_bytes()


def test_is_sorted_by_name(documents: dict[str, dict[str, Any]]) -> None:
    assert list(documents) == sorted(documents)


@pytest.mark.parametrize(
    ("name", "kind", "module"),
    [
        ("subprocess", "module", "subprocess"),
        ("subprocess.run", "function", "subprocess"),
        ("collections.Counter.most_common", "method", "collections"),
        ("concurrent.futures.Future", "class", "concurrent.futures"),  # defined in a private file
        ("asyncio.locks.Lock.acquire", "method", "asyncio.locks"),  # async def
        ("pathlib.Path.read_text", "method", "pathlib"),
        ("len", "function", "builtins"),
        ("str.split", "method", "builtins"),
        ("math.comb", "function", "math"),
        ("os.listdir", "function", "os"),
        ("datetime.date.weekday", "method", "datetime"),
        ("itertools.chain", "class", "itertools"),
    ],
)
def test_documents_what_users_look_for(
    documents: dict[str, dict[str, Any]], name: str, kind: str, module: str
) -> None:
    assert (documents[name]["kind"], documents[name]["module"]) == (kind, module)


def test_titles_show_what_callers_write(documents: dict[str, dict[str, Any]]) -> None:
    assert documents["subprocess.run"]["title"].startswith(
        "subprocess.run(*popenargs, input=None, capture_output=False"
    )
    assert documents["str.split"]["title"] == "str.split(sep=None, maxsplit=-1)"
    assert documents["threading.Thread.join"]["title"] == "threading.Thread.join(timeout=None)"
    assert documents["subprocess.Popen"]["title"].endswith(", ...)")


def test_leaves_out_private_names_and_test_suites(documents: dict[str, dict[str, Any]]) -> None:
    assert not [name for name in documents if any(p.startswith("_") for p in name.split("."))]
    assert not [name for name in documents if name.startswith(("test.", "idlelib.", "lib2to3."))]


def test_text_ends_with_the_name_in_words(documents: dict[str, dict[str, Any]]) -> None:
    assert documents["zipfile.ZipFile.open"]["text"].endswith("\n\nzipfile Zip File open")


def test_says_what_is_deprecated(documents: dict[str, dict[str, Any]]) -> None:
    assert documents["threading.activeCount"]["deprecated"] is True
    assert documents["threading.active_count"]["deprecated"] is False
