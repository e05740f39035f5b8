"""Lines of a TREC run file, whose scores say what the order of a ranking says.

A line has six columns ``query_id Q0 doc_id rank score tag``. Tools of the trec_eval family ignore
the rank: they sort by the score, held as a 32-bit float, and break ties by the document id,
descending. Others break ties by the id, ascending. A system's own order survives all of them only
if its scores are strictly decreasing as 32-bit floats, which ``strictly_decreasing`` sees to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from retriever.errors import RunFormatError


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


def run_lines(query_id: str, ranking: Sequence[tuple[str, float]], tag: str) -> Iterator[str]:
    r"""The lines of one query, each with its end.

    Scores are those of ``strictly_decreasing``, with the nine significant digits that a 32-bit
    float needs to be read back unchanged.

    Args:
        query_id: Identifier of the query.
        ranking: Document ids and scores, best first.
        tag: Name of the system; white space becomes ``_``.

    Raises:
        RunFormatError: An id is empty or holds white space, which the format cannot carry, or a
            score is not finite.

    >>> list(run_lines("q1", [("d7", 2.5)], "my system"))
    ['q1 Q0 d7 1 2.5 my_system\n']
    """
    tag = "_".join(tag.split()) or "run"
    _check_id("query", query_id)
    scores = strictly_decreasing([score for _, score in ranking])
    for rank, ((doc_id, _), score) in enumerate(zip(ranking, scores, strict=True), 1):
        _check_id("document", doc_id)
        yield f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n"


def _check_id(kind: str, value: str) -> None:
    if not value or value.split() != [value]:
        raise RunFormatError(
            f"the {kind} id {value!r} is empty or holds white space, which a TREC run file cannot "
            "carry; give the collection ids without white space"
        )
