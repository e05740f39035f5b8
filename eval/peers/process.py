"""Peers: other engines as baselines, each in a process of its own.

A peer is a script that needs only the standard library and the engine. It runs under an
interpreter of its own choice (pyserini and bm25s may live in other environments than this
package), and keeps its JVM, threads and settings out of this process. The script gets one
argument, the path of a request file, and talks through files:

* request: ``documents`` (path of JSON lines ``{"id", "contents"}``, alone in its folder, which
  is Anserini's ``JsonCollection``), ``queries`` (path of JSON lines ``{"id", "text"}``), ``k``,
  ``k1``, ``b``, and the paths ``run`` and ``report`` of its answers;
* run: JSON lines ``{"query_id", "ranking": [[doc_id, score], ...]}``, best first;
* report: ``settings``, ``versions``, ``notes``, ``build_seconds``, ``search_seconds``.

Exit status 3 says that the engine is not installed, with one line on standard error; any other
status than 0 is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from eval.datasets.beir import Dataset
from eval.errors import PeerAbsentError, SystemFailedError
from eval.runs import ScoredDoc
from eval.systems import SystemDescription

PEERS = ("bm25s", "tantivy", "lucene")
ABSENT = 3

K1, B = 0.9, 0.4
"""BM25 parameters of the peers that let them be set: those of Anserini and of BEIR's tables."""


class PeerSystem:
    """A peer as a system under evaluation."""

    def __init__(self, name: str) -> None:
        """Names a peer of ``PEERS``; it starts in ``search``.

        The interpreter is this one, or that of the variable ``WINNOW_<NAME>_PYTHON``.
        """
        self.name = name
        self._variable = f"WINNOW_{name.upper()}_PYTHON"
        self._script = Path(__file__).with_name(f"{name}.py")
        self._folder: Path | None = None
        self._description = SystemDescription()

    def prepare(self, dataset: Dataset) -> None:
        """Writes the corpus for the peer: title and text joined by one space."""
        self.close()
        self._folder = Path(tempfile.mkdtemp(prefix=f"winnow-{self.name}-"))
        (self._folder / "corpus").mkdir()
        with (self._folder / "corpus" / "documents.jsonl").open("w", encoding="utf-8") as file:
            for document in dataset.documents():
                record = {"id": document.doc_id, "contents": document.full_text()}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[ScoredDoc]]:
        """Runs the peer's process: it indexes, searches, and ends.

        Raises:
            PeerAbsentError: The engine, or its interpreter, is not there.
            SystemFailedError: The process failed; the message quotes its last lines.
        """
        if self._folder is None:
            raise SystemFailedError(f"{self.name}: search before prepare")
        queries_file, run_file = self._folder / "queries.jsonl", self._folder / "run.jsonl"
        report_file, request_file = self._folder / "report.json", self._folder / "request.json"
        request = {
            "documents": str(self._folder / "corpus" / "documents.jsonl"),
            "queries": str(queries_file),
            "k": k,
            "k1": K1,
            "b": B,
            "run": str(run_file),
            "report": str(report_file),
        }
        with queries_file.open("w", encoding="utf-8") as file:
            for query_id, text in queries.items():
                file.write(json.dumps({"id": query_id, "text": text}, ensure_ascii=False) + "\n")
        request_file.write_text(json.dumps(request), encoding="utf-8")
        self._start(request_file)
        report = json.loads(report_file.read_text(encoding="utf-8"))
        self._description = SystemDescription(
            settings=report["settings"],
            versions=report["versions"],
            notes=tuple(report["notes"]),
            build_seconds=report["build_seconds"],
            search_seconds=report["search_seconds"],
        )
        run: dict[str, list[ScoredDoc]] = {}
        with run_file.open(encoding="utf-8") as file:
            for line in file:
                answer = json.loads(line)
                run[answer["query_id"]] = [(doc_id, score) for doc_id, score in answer["ranking"]]
        return run

    def description(self) -> SystemDescription:
        """What the process reported."""
        return self._description

    def close(self) -> None:
        """Removes the files exchanged."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _start(self, request_file: Path) -> None:
        python = os.environ.get(self._variable) or sys.executable
        # -P keeps the script's folder off the import path: its bm25s.py is not the bm25s to import.
        command = [python, "-P", str(self._script), str(request_file)]
        try:
            finished = subprocess.run(
                command,
                cwd=request_file.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise PeerAbsentError(
                f"{self.name}: the interpreter {python!r} of {self._variable} cannot be started "
                f"({error.strerror})"
            ) from error
        lines = finished.stdout.strip().splitlines()
        if finished.returncode == ABSENT:
            raise PeerAbsentError(lines[-1] if lines else f"{self.name}: not installed")
        if finished.returncode != 0:
            tail = " | ".join(lines[-3:]) or "no output"
            raise SystemFailedError(f"{self.name} ended with status {finished.returncode}: {tail}")
