"""Runs: what a system retrieved for each query, in memory and as TREC run files.

``retriever.run`` describes the format and sees to it that scores keep a system's own order.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from eval.datasets.files import open_text
from eval.errors import RunFormatError
from retriever.run import run_lines

ScoredDoc = tuple[str, float]
"""Document id and score."""

Run = Mapping[str, Sequence[ScoredDoc]]
"""``run[query_id]`` is the ranking of a query, best document first."""


def write_run(path: Path, run: Run, tag: str) -> None:
    """Writes a TREC run file, gzipped if the name ends in ``.gz``.

    Scores are those of ``strictly_decreasing``, with the nine significant digits that a 32-bit
    float needs to be read back unchanged, so that every tool evaluates the order of ``run``.

    Args:
        path: Replaced if it exists.
        run: Rankings by query id.
        tag: Name of the system; white space becomes ``_``.

    Raises:
        RunFormatError: An id is empty or holds white space, which the format cannot carry, a
            document occurs twice in a ranking, or a score is not finite.
    """
    with _open_for_writing(path) as file:
        for query_id, ranking in run.items():
            _check_distinct(query_id, ranking)
            file.writelines(run_lines(query_id, ranking, tag))


def read_run(path: Path) -> dict[str, list[ScoredDoc]]:
    """Reads a TREC run file, compressed or not, in the order that trec_eval evaluates.

    That is by score as a 32-bit float, ties by document id descending; the rank column is
    ignored, as trec_eval ignores it. For a file of ``write_run`` it is the order written.

    Raises:
        RunFormatError: A line has not six columns, a score is not a number, or a document
            occurs twice in a ranking.
        DatasetError: The file cannot be read as text.
    """
    run: dict[str, list[ScoredDoc]] = {}
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            columns = line.split()
            if not columns:
                continue
            if len(columns) != 6:
                raise RunFormatError(
                    f"{path}, line {number}: expected the six columns 'query_id Q0 doc_id rank "
                    f"score tag', got {len(columns)}: {line.rstrip()[:80]!r}"
                )
            query_id, _, doc_id, _, text, _ = columns
            try:
                score = float(text)
            except ValueError:
                raise RunFormatError(
                    f"{path}, line {number}: the score must be a number, got {text!r}"
                ) from None
            run.setdefault(query_id, []).append((doc_id, score))
    for query_id, ranking in run.items():
        try:
            _check_distinct(query_id, ranking)
        except RunFormatError as error:
            raise RunFormatError(f"{path}: {error}") from None
        ranking.sort(key=lambda scored: (float(np.float32(scored[1])), scored[0]), reverse=True)
    return run


def without_identical_ids(run: Run, k: int) -> tuple[dict[str, list[ScoredDoc]], list[str]]:
    """Removes from each ranking the document whose id is the query's, then cuts it to ``k``.

    BEIR does so because in some collections (ArguAna, Quora) the queries are documents too.
    To keep ``k`` documents, search for ``k + 1``.

    Returns:
        The run, and the ids of the queries that lost a document.
    """
    kept = {
        query_id: [scored for scored in ranking if scored[0] != query_id][:k]
        for query_id, ranking in run.items()
    }
    affected = [
        query_id
        for query_id, ranking in run.items()
        if any(doc_id == query_id for doc_id, _ in ranking)
    ]
    return kept, affected


@contextmanager
def _open_for_writing(path: Path) -> Iterator[IO[str]]:
    if path.suffix != ".gz":
        with path.open("w", encoding="utf-8", newline="\n") as plain:
            yield plain
        return
    # Without name and time in its header, equal runs give equal files.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
    ):
        yield file


def _check_distinct(query_id: str, ranking: Sequence[ScoredDoc]) -> None:
    seen: set[str] = set()
    for doc_id, _ in ranking:
        if doc_id in seen:
            raise RunFormatError(f"query {query_id!r} ranks the document {doc_id!r} twice")
        seen.add(doc_id)
