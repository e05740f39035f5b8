"""Exact ranking over segments: the best documents, each by its best passage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.format.segment import Segment
from kernels.cpu.search import EXACT, Approximation, SearchWork
from retriever.query import IntegerQuery
from retriever.ranked import NO_RANKING, Ranking
from retriever.snapshot import Snapshot
from retriever.space import SpaceView


class _Ordered(NamedTuple):
    """A ranking of several segments' passages, and what decides between equal scores.

    Attributes:
        ranking: Passages, best first.
        ordinals: uint64 order of arrival of their documents.
        arrivals: int64 position of arrival of the passages in their segment.
    """

    ranking: Ranking
    ordinals: NDArray[np.uint64]
    arrivals: NDArray[np.int64]


def _ordered(segment: Segment, ranking: Ranking) -> _Ordered:
    rows = ranking.rows
    arrivals = rows if segment.row_arrival is None else segment.row_arrival[rows].astype(np.int64)
    return _Ordered(ranking, segment.ordinals[ranking.doc_nums], arrivals)


def _join(first: _Ordered, second: _Ordered, k: int) -> _Ordered:
    """The best ``k`` of both, by score, then by order of arrival."""
    ranking = Ranking(
        np.concatenate([first.ranking.scores, second.ranking.scores]),
        np.concatenate([first.ranking.segments, second.ranking.segments]),
        np.concatenate([first.ranking.rows, second.ranking.rows]),
        np.concatenate([first.ranking.doc_nums, second.ranking.doc_nums]),
    )
    ordinals = np.concatenate([first.ordinals, second.ordinals])
    arrivals = np.concatenate([first.arrivals, second.arrivals])
    best = np.lexsort((arrivals, ordinals, -ranking.scores))[:k]
    return _Ordered(ranking.take(best), ordinals[best], arrivals[best])


def rank(
    snapshot: Snapshot,
    space: SpaceView,
    query: IntegerQuery,
    k: int,
    alive: Sequence[NDArray[np.uint8]],
    threshold: int = 0,
    approximation: Approximation = EXACT,
    threads: int = 1,
    work: SearchWork | None = None,
) -> Ranking:
    """The best ``k`` documents: by score, then by order of arrival.

    Args:
        snapshot: The index.
        space: One of its spaces.
        query: Integer weights.
        k: Most documents.
        alive: Per segment uint8 per row, 0 excludes; empty excludes none.
        threshold: Only scores above it.
        approximation: What may be left out; budgets are for all segments together, and what one
            segment leaves is for those after it.
        threads: Threads per segment.
        work: What was spent of the budgets; gets what this search spends.
    """
    work = work or SearchWork()
    rows = snapshot.row_count
    wanted = min(k, rows)
    while wanted:
        passages, exhausted = _rank_passages(
            snapshot, space, query, wanted, alive, threshold, approximation, threads, work
        )
        best = _best_per_document(passages) if snapshot.is_split else passages
        if len(best) >= k or exhausted or wanted == rows or work.is_cut:
            return best if len(best) <= k else best.take(slice(k))
        # Several passages of one document took each other's places: ask for more, unless the
        # budget is spent.
        wanted = min(2 * wanted, rows)
    return NO_RANKING


def _rank_passages(
    snapshot: Snapshot,
    space: SpaceView,
    query: IntegerQuery,
    k: int,
    alive: Sequence[NDArray[np.uint8]],
    threshold: int,
    approximation: Approximation,
    threads: int,
    work: SearchWork,
) -> tuple[Ranking, bool]:
    """The best ``k`` passages, and whether there are no more."""
    found: _Ordered | None = None
    exhausted = True
    rows_left = snapshot.row_count
    spent = work if approximation.is_budgeted else None  # nobody asks what an exact search costs
    for number, segment in enumerate(snapshot.segments):
        if found is not None and len(found.ranking) == k:
            # A later segment may still tie with the k-th passage and have arrived before it. What
            # is at or below it is not even counted.
            threshold = max(threshold, int(found.ranking.scores[k - 1]) - 1)
            exhausted = False
        limits = approximation
        if spent is not None:
            limits = approximation.share(segment.entry.row_count / max(rows_left, 1), spent)
            rows_left -= segment.entry.row_count
        scores, rows = space.search_segment(
            number, query, k, alive[number], threshold, limits, threads, spent
        )
        if len(rows) >= k:
            exhausted = False
        doc_nums = rows if segment.passage_doc is None else segment.passage_doc[rows]
        here = Ranking(
            scores,
            np.full(len(rows), number) if number else np.zeros(len(rows), dtype=np.int64),
            rows,
            doc_nums.astype(np.int64, copy=False),
        )
        if len(snapshot.segments) == 1:
            return here, exhausted
        ordered = _ordered(segment, here)
        if found is None:
            found = ordered
        else:
            exhausted = exhausted and len(found.ranking) + len(here) <= k
            found = _join(found, ordered, k)
    return (found.ranking if found else NO_RANKING), exhausted


def _best_per_document(passages: Ranking) -> Ranking:
    documents = (passages.segments << 32) | passages.doc_nums
    if len(set(documents.tolist())) == len(documents):  # mostly, and told faster than by sorting
        return passages
    _, first = np.unique(documents, return_index=True)
    return passages.take(np.sort(first))


def count_documents(
    snapshot: Snapshot,
    space: SpaceView,
    query: IntegerQuery,
    alive: Sequence[NDArray[np.uint8]],
) -> int:
    """How many documents have any of the query's terms; reads all of their postings."""
    total = 0
    for number, segment in enumerate(snapshot.segments):
        matched = np.zeros(segment.entry.row_count, dtype=bool)
        for term in query.terms:
            if term.dimensions[number] >= 0:
                rows, _ = space.postings[number].postings(term.dimensions[number])
                matched[rows] = True
        if len(alive[number]):
            matched &= alive[number] != 0
        if segment.passage_doc is None:
            total += int(np.count_nonzero(matched))
        else:
            total += len(np.unique(segment.passage_doc[matched]))
    return total
