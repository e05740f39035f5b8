"""Runs: what a system retrieved for each query, in memory and as TREC run files.

A run file has six columns ``query_id Q0 doc_id rank score tag``. Tools of the trec_eval family
ignore the rank: they sort by the score, held as a 32-bit float, and break ties by the document
id, descending. Others break ties by the id, ascending. A system's own order survives all of
them only if its scores are strictly decreasing as 32-bit floats, which ``strictly_decreasing``
sees to.
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

ScoredDoc = tuple[str, float]
"""Document id and score."""

Run = Mapping[str, Sequence[ScoredDoc]]
"""``run[query_id]`` is the ranking of a query, best document first."""


def strictly_decreasing(scores: Sequence[float]) -> list[float]:
    """Scores that say what the order of a ranking says, exact in 32-bit floats.

    Each score is rounded to a 32-bit float; one that is not below its predecessor becomes the
    next smaller 32-bit float. All other scores are kept.

    Args:
        scores: In the order of the ranking, best first.

    Raises:
        RunFormatError: A score is not finite in 32 bits.

    >>> strictly_decreasing([2.0, 1.0, 1.0])
    [2.0, 1.0, 0.9999999403953552]
    """
    with np.errstate(over="ignore"):
        rounded = np.asarray(scores, dtype=np.float64).astype(np.float32)
    if np.any(np.diff(rounded) >= 0):
        lowest = np.float32(-np.inf)
        for i in range(1, len(rounded)):
            if rounded[i] >= rounded[i - 1]:
                rounded[i] = np.nextafter(rounded[i - 1], lowest)
    if not np.all(np.isfinite(rounded)):
        bad = int(np.argmin(np.isfinite(rounded)))
        raise RunFormatError(
            f"the score at rank {bad + 1} is {scores[bad]!r}; scores must be finite 32-bit floats"
        )
    return [float(score) for score in rounded]


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
    tag = "_".join(tag.split()) or "run"
    with _open_for_writing(path) as file:
        for query_id, ranking in run.items():
            _check_id("query", query_id)
            _check_distinct(query_id, ranking)
            scores = strictly_decreasing([score for _, score in ranking])
            for rank, ((doc_id, _), score) in enumerate(zip(ranking, scores, strict=True), 1):
                _check_id("document", doc_id)
                file.write(f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n")


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


def _check_id(kind: str, value: str) -> None:
    if not value or value.split() != [value]:
        raise RunFormatError(
            f"the {kind} id {value!r} is empty or holds white space, which a TREC run file cannot "
            "carry; give the collection ids without white space"
        )


def _check_distinct(query_id: str, ranking: Sequence[ScoredDoc]) -> None:
    seen: set[str] = set()
    for doc_id, _ in ranking:
        if doc_id in seen:
            raise RunFormatError(f"query {query_id!r} ranks the document {doc_id!r} twice")
        seen.add(doc_id)
