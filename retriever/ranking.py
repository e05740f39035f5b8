"""Exact ranking over segments: the best documents, each by its best passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.search import EXACT, Approximation, SearchWork
from retriever.query import IntegerQuery
from retriever.snapshot import Snapshot
from retriever.space import SpaceView


@dataclass(frozen=True, slots=True)
class Ranking:
    """Documents by their best passages, best first; arrays of the same length.

    Attributes:
        scores: int64 integer scores.
        segments: int64 number of the segment.
        rows: int64 row of the passage in it.
        doc_nums: int64 number of the document in it.
    """

    scores: NDArray[np.int64]
    segments: NDArray[np.int64]
    rows: NDArray[np.int64]
    doc_nums: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, chosen: slice | NDArray) -> Ranking:
        """Some of them."""
        return Ranking(
            self.scores[chosen], self.segments[chosen], self.rows[chosen], self.doc_nums[chosen]
        )


def _join(snapshot: Snapshot, first: Ranking, second: Ranking) -> Ranking:
    """Both, by score, then by order of arrival."""
    both = Ranking(
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.segments, second.segments]),
        np.concatenate([first.rows, second.rows]),
        np.concatenate([first.doc_nums, second.doc_nums]),
    )
    ordinals, arrivals = np.zeros(len(both), np.uint64), np.zeros(len(both), np.int64)
    for number in np.unique(both.segments).tolist():
        here = both.segments == number
        segment, rows = snapshot.segments[number], both.rows[here]
        ordinals[here] = segment.ordinals[both.doc_nums[here]]
        arrivals[here] = rows if segment.row_arrival is None else segment.row_arrival[rows]
    return both.take(np.lexsort((arrivals, ordinals, -both.scores)))


_NOTHING = np.zeros(0, dtype=np.int64)

NO_RANKING = Ranking(_NOTHING, _NOTHING, _NOTHING, _NOTHING)


def rank(
    snapshot: Snapshot,
    space: SpaceView,
    query: IntegerQuery,
    k: int,
    alive: Sequence[NDArray[np.uint8]],
    threshold: int = 0,
    approximation: Approximation = EXACT,
    threads: int = 1,
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
    """
    rows = snapshot.row_count
    wanted = min(k, rows)
    while wanted:
        passages, exhausted = _rank_passages(
            snapshot, space, query, wanted, alive, threshold, approximation, threads
        )
        best = _best_per_document(passages) if snapshot.is_split else passages
        if len(best) >= k or exhausted or wanted == rows or approximation.is_budgeted:
            return best if len(best) <= k else best.take(slice(k))
        # Several passages of one document took each other's places: ask for more, unless that
        # would spend a budget again.
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
) -> tuple[Ranking, bool]:
    """The best ``k`` passages, and whether there are no more."""
    found = NO_RANKING
    exhausted = True
    rows_left = snapshot.row_count
    work = SearchWork() if approximation.is_budgeted else None
    for number, segment in enumerate(snapshot.segments):
        if len(found) >= k:
            # A later segment may still tie with the k-th passage and have arrived before it.
            threshold = max(threshold, int(found.scores[k - 1]) - 1)
        limits = approximation
        if work is not None:
            limits = approximation.share(segment.entry.row_count / max(rows_left, 1), work)
            rows_left -= segment.entry.row_count
        scores, rows = space.search_segment(
            number, query, k, alive[number], threshold, limits, threads, work
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
        found = _join(snapshot, found, here) if len(found) else here
        if len(found) > k:
            exhausted = False
            found = found.take(slice(k))
    return found, exhausted


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
