"""Checks of what a search is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from encoders.static_config import MAX_RERANK_WEIGHT
from retriever.errors import NoVectorsError, QueryError
from retriever.query import SparseVector, finite_number
from retriever.searching import SearchOptions
from retriever.snapshot import Snapshot

MAX_K = 1 << 24

MAX_THREADS = 1024


def check_query(query: object) -> None:
    """Checks the type of a query.

    Raises:
        QueryError: It is neither text nor a vector.
    """
    if not isinstance(query, str | SparseVector):
        raise QueryError(f"a query is text or a SparseVector, got {type(query).__name__}.")


def check_count(name: str, value: object) -> None:
    """Checks a number of hits.

    Raises:
        QueryError: It is no integer, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise QueryError(f"{name} must be an integer, got {value!r:.80}.")
    if not 0 <= value <= MAX_K:
        raise QueryError(f"{name} must lie between 0 and {MAX_K}, got {value}.")


def check_threads(threads: object) -> None:
    """Checks a number of threads.

    Raises:
        QueryError: It is no integer, or out of range.
    """
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise QueryError(f"threads must be an integer, got {threads!r:.80}.")
    if not 1 <= threads <= MAX_THREADS:
        raise QueryError(f"threads must lie between 1 and {MAX_THREADS}, got {threads}.")


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


def checked_options(options: SearchOptions, snapshot: Snapshot) -> SearchOptions:
    """The options with Python's own numbers in place of numpy's, whose sums would wrap around.

    Raises:
        QueryError: One is of another type or out of range.
    """
    check_count("k", options.k)
    check_count("offset", options.offset)
    check_threads(options.threads)
    check_rerank(options.rerank, snapshot)
    if options.min_score is not None:
        lowest = finite_number(options.min_score)
        if lowest is None:
            raise QueryError(f"min_score must be a finite number, got {options.min_score!r:.80}.")
        options = replace(options, min_score=lowest)
    if type(options.k) is int and type(options.offset) is int:
        return options
    return replace(options, k=int(options.k), offset=int(options.offset))
