"""Checks of what a search is asked."""

from __future__ import annotations

import numpy as np

from encoders.static_config import MAX_RERANK_WEIGHT
from retriever.errors import NoVectorsError, QueryError
from retriever.query import SparseVector
from retriever.snapshot import Snapshot

MAX_K = 1 << 24


def check_arguments(
    query: object, k: object, offset: object, min_score: object, threads: object
) -> None:
    """Checks the arguments of ``Searcher.search``.

    Raises:
        QueryError: One is of another type or out of range.
    """
    if not isinstance(query, str | SparseVector):
        raise QueryError(f"a query is text or a SparseVector, got {type(query).__name__}.")
    for name, value in (("k", k), ("offset", offset)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise QueryError(f"{name} must be an integer, got {value!r:.80}.")
        if not 0 <= value <= MAX_K:
            raise QueryError(f"{name} must lie between 0 and {MAX_K}, got {value}.")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise QueryError(f"threads must be an integer of at least 1, got {threads!r:.80}.")
    if min_score is not None and (
        isinstance(min_score, bool)
        or not isinstance(min_score, int | float)
        or not np.isfinite(min_score)
    ):
        raise QueryError(f"min_score must be a finite number, got {min_score!r:.80}.")


def check_rerank(weight: object, snapshot: Snapshot) -> None:
    """Checks the weight of static vectors.

    Raises:
        QueryError: It is no number, or out of range.
        NoVectorsError: It is above 0, and the index has no static vectors.
    """
    if weight is None:
        return
    if isinstance(weight, bool) or not isinstance(weight, int | float | np.number):
        raise QueryError(f"rerank must be a number, got {weight!r:.80}.")
    if not 0 <= weight <= MAX_RERANK_WEIGHT:
        raise QueryError(f"rerank must lie between 0 and {MAX_RERANK_WEIGHT:g}, got {weight}.")
    if weight and snapshot.reranker is None:
        raise NoVectorsError(
            "the index has no static vectors to rank with: leave rerank out, or build it again "
            "with --vectors static."
        )
