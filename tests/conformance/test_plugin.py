"""A plug-in distribution that pip installed: found by name, conformant, searchable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORPUS = (
    {"_id": "d1", "title": "Mars", "text": "The red planet."},
    {"_id": "d2", "title": "Planets", "text": "Mars is one of them."},
    {"_id": "d3", "title": "", "text": "Venus is a planet too."},
)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python where the plug-in is installed, in a folder of its own."""
    pytest.importorskip("setuptools", reason="building the plug-in needs setuptools")
    pytest.importorskip("pip", reason="installing the plug-in needs pip")
    work = tmp_path_factory.mktemp("plugin")
    # A copy, since the build leaves folders beside the source.
    source = shutil.copytree(Path(__file__).parent / "plugin", work / "source")
    installed = work / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(installed), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    path = os.pathsep.join([str(installed), str(ROOT)])

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=280,
        )

    return run


def test_the_suite_runs_against_it(python: Run, suite: Path) -> None:
    names = ("presence:2.5", "presence-pieces")
    options = [option for name in names for option in ("--encoder", name)]
    done = python(
        *("-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", suite / "test_encoder.py"),
        *options,
    )
    assert done.returncode == 0, done.stdout
    for name in names:
        assert f"test_its_spec_makes_it_again[{name}]" in done.stdout
    assert "bm25" not in done.stdout


def test_the_suite_fails_an_encoder_that_breaks_the_contract(
    python: Run, suite: Path, tmp_path: Path
) -> None:
    """One that remembers what it read, and whose rows are not in order."""
    (tmp_path / "winnow_forgetful.py").write_text(
        "from winnow_presence import PresenceEncoder\n"
        "class Forgetful(PresenceEncoder):\n"
        "    calls = 0\n"
        "    def encode_documents(self, documents):\n"
        "        self.calls += 1\n"
        "        self._title_weight = 1.0 + self.calls\n"
        "        ordered = sorted(documents, key=lambda document: document.text)\n"
        "        return super().encode_documents(ordered)\n"
        "def create(name, argument=None, **options):\n"
        "    return Forgetful(1.0)\n"
    )
    metadata = tmp_path / "winnow_forgetful-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: winnow-forgetful\nVersion: 1\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[winnow.encoders]\nforgetful = winnow_forgetful:create\n"
    )
    code = f"import sys, pytest; sys.path.insert(0, {str(tmp_path)!r}); sys.exit(pytest.main())"
    arguments = ["-q", "-p", "no:cacheprovider", str(suite / "test_encoder.py")]
    arguments += ["--encoder", "forgetful"]
    done = python("-c", code.replace("main()", f"main({arguments!r})"))
    assert done.returncode == 1, done.stdout
    for test in (
        "test_the_spec_survives_json_and_does_not_change",
        "test_rows_are_in_the_order_of_the_documents",
        "test_the_same_call_gives_the_same_bits",
        "test_an_earlier_batch_leaves_no_trace",
        "test_its_spec_makes_it_again",
    ):
        assert f"FAILED tests/conformance/test_encoder.py::{test}[forgetful]" in done.stdout


def test_an_index_of_it_is_built_added_to_and_searched(python: Run, tmp_path: Path) -> None:
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in CORPUS))
    expression = "presence:3 + 2*presence-pieces:4 + 0.001*english-bm25"
    done = python("-m", "indexer", "build", corpus, "-o", index, "--encoder", expression)
    assert done.returncode == 0, done.stderr
    (tmp_path / "later.py").write_text(
        "import sys\n"
        "from indexer.commands.building import add\n"
        "from retriever.searcher import open_index\n"
        "add.main(sys.argv[1:], standalone_mode=False)\n"
        "searcher = open_index(sys.argv[1])\n"
        "for query in ('mars', 'zebra'):\n"
        "    hits = searcher.search(query, explain=True).hits\n"
        "    print(*(hit.doc_id for hit in hits), *(c.part for c in hits[0].explanation))\n"
    )
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({"_id": "d4", "title": "Zebra", "text": "An animal."}) + "\n")
    done = python(tmp_path / "later.py", index, more)
    assert done.returncode == 0, done.stderr
    mars, zebra = (line.split() for line in done.stdout.splitlines()[-2:])
    assert mars[:2] == ["d1", "d2"]  # the word stands in the title of the first
    assert zebra[0] == "d4"
    assert set(mars[2:]) == set(zebra[1:]) == {"presence", "presence-pieces", "english-bm25"}


def test_its_own_errors_reach_the_user(python: Run, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(json.dumps(CORPUS[0]) + "\n")
    done = python(
        *("-m", "indexer", "build", tmp_path / "corpus.jsonl", "-o", tmp_path / "index"),
        *("--encoder", "presence:much"),
    )
    assert done.returncode == 1
    assert "the weight of titles must be a number above 0, got 'much'" in done.stderr
    assert "Traceback" not in done.stderr
