"""One search of a snapshot, from a query and its options to results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.search import EXACT, Approximation, SearchWork
from retriever.filters import document_mask
from retriever.hits import described, plain_hits, shown_scores
from retriever.query import IntegerQuery, SparseVector, integer_query
from retriever.ranked import Ranking
from retriever.ranking import count_documents, rank
from retriever.reranking import QueryVector
from retriever.results import Results, Total
from retriever.snapshot import Snapshot
from retriever.space import SpaceView

Alive = Sequence[NDArray[np.uint8]]
"""Per segment uint8 per row, 0 excludes; an empty array excludes none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """What a search is asked beside its query.

    Attributes: those of :meth:`retriever.searcher.Searcher.search`.
    """

    k: int = 10
    space: str | None = None
    part_weights: Mapping[str, float] | None = None
    filter: Mapping[str, Any] | None = None
    offset: int = 0
    min_score: float | None = None
    explain: bool = False
    highlight: bool = False
    count_total: bool = False
    rerank: float | None = None
    approximation: Approximation = EXACT
    threads: int = 1


def live_rows(snapshot: Snapshot, condition: Mapping[str, Any] | None) -> Alive:
    """Which rows are neither deleted nor filtered out.

    Raises:
        FilterError: The condition cannot be applied.
    """
    if condition is None:
        return snapshot.alive
    alive = []
    for number, segment in enumerate(snapshot.segments):
        mask = document_mask(
            condition,
            segment.documents.columns,
            snapshot.manifest.fields,
            segment.entry.document_count,
        )
        rows = segment.expand(mask)
        if len(snapshot.alive[number]):
            rows = rows & snapshot.alive[number]
        alive.append(np.ascontiguousarray(rows))
    return alive


def query_vector(
    snapshot: Snapshot, query: str | SparseVector, weight: float | None
) -> QueryVector | None:
    """The query for ranking the first documents again; ``None`` if that is not to be."""
    reranker = snapshot.reranker
    if reranker is None or weight == 0 or not isinstance(query, str):
        return None
    return reranker.query_vector(query, reranker.entry.weight if weight is None else float(weight))


def search_snapshot(
    snapshot: Snapshot,
    query: str | SparseVector,
    options: SearchOptions,
    alive: Alive,
    started: float,
) -> Results:
    """The best documents for a query.

    Args:
        snapshot: The index.
        query: Text, or a sparse vector.
        options: Checked ones (``retriever.arguments``).
        alive: What :func:`live_rows` gave for their filter.
        started: ``time.perf_counter()`` when the search began.

    Raises:
        QueryError: The space or a part is unknown, or a weight is too large.
    """
    view = snapshot.space(options.space)
    terms = integer_query(view.terms(query, options.part_weights))
    wanted = options.offset + options.k if options.k and terms.terms else 0
    vector = query_vector(snapshot, query, options.rerank) if wanted else None
    work = SearchWork()
    ranked, gains = _ranked(snapshot, view, terms, vector, wanted, options, alive, work)
    shown, gains = ranked.take(slice(options.offset, None)), gains[options.offset :]
    scores = shown_scores(view, terms, shown) + gains
    hits = plain_hits(snapshot, shown, scores, options.offset)
    if options.explain or options.highlight:
        hits = [
            described(
                snapshot,
                view,
                terms,
                hit,
                segment,
                row,
                vector if options.explain and gain else None,
                explain=options.explain,
                highlight=options.highlight,
            )
            for hit, segment, row, gain in zip(
                hits, shown.segments.tolist(), shown.rows.tolist(), gains.tolist(), strict=True
            )
        ]
    is_exact = not work.is_cut and not options.approximation.is_clipped
    if options.count_total and terms.terms:
        total = Total(count_documents(snapshot, view, terms, alive), "eq")
    else:
        complete = not terms.terms or (
            len(ranked) < wanted and options.min_score is None and is_exact
        )
        total = Total(len(ranked), "eq" if complete else "gte")
    return Results(tuple(hits), total, 1000 * (time.perf_counter() - started), is_exact)


def _ranked(
    snapshot: Snapshot,
    view: SpaceView,
    terms: IntegerQuery,
    vector: QueryVector | None,
    wanted: int,
    options: SearchOptions,
    alive: Alive,
    work: SearchWork,
) -> tuple[Ranking, NDArray[np.float64]]:
    """The best documents, and what static vectors add to the score of each."""
    reranker, lowest = snapshot.reranker, options.min_score
    approximation, threads = options.approximation, options.threads
    if vector is None or reranker is None:
        if lowest is None:
            ranked = rank(snapshot, view, terms, wanted, alive, 0, approximation, threads, work)
        else:
            ranked = _ranked_from(lowest, snapshot, view, terms, wanted, options, alive, work)
        return ranked, np.zeros(len(ranked))
    depth = max(wanted, reranker.entry.depth)
    found = rank(snapshot, view, terms, depth, alive, 0, approximation, threads, work)
    ranked, _ = reranker.rerank(found, vector, terms.factor)
    gains = reranker.gains(ranked, vector)
    if lowest is not None:
        high = shown_scores(view, terms, ranked) + gains >= lowest
        ranked, gains = ranked.take(high), gains[high]
    return ranked.take(slice(wanted)), gains[:wanted]


def _ranked_from(
    lowest: float,
    snapshot: Snapshot,
    view: SpaceView,
    terms: IntegerQuery,
    k: int,
    options: SearchOptions,
    alive: Alive,
    work: SearchWork,
) -> Ranking:
    """The best ``k`` documents among those whose score as shown is at least ``lowest``."""
    threshold = _threshold(lowest, terms)
    approximation, threads = options.approximation, options.threads
    wanted = k
    while True:
        ranked = rank(snapshot, view, terms, wanted, alive, threshold, approximation, threads, work)
        high = shown_scores(view, terms, ranked) >= lowest
        # The threshold is a little low. Documents that it let in may have taken the place of others
        # which come later in the order, but whose score as shown is high enough.
        if len(ranked) < wanted or high.sum() >= k or work.is_cut:
            return ranked.take(high).take(slice(k))
        wanted *= 2


def _threshold(lowest: float, terms: IntegerQuery) -> int:
    """An integer score below all that count, whatever the rounding."""
    threshold = min(max(lowest * terms.factor, 0.0), 2.0**62)
    return max(0, int(threshold) - terms.rounding)
