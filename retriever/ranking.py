"""Exact ranking over segments: the best documents, each by its best passage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retriever.query import IntegerQuery
from retriever.snapshot import Snapshot
from retriever.space import SpaceView


class RankedPassage(NamedTuple):
    """The best passage of a document."""

    score: int
    ordinal: int
    segment: int
    row: int
    doc_num: int


def rank(
    snapshot: Snapshot,
    space: SpaceView,
    query: IntegerQuery,
    k: int,
    alive: Sequence[NDArray[np.uint8]],
    threshold: int = 0,
) -> list[RankedPassage]:
    """The best ``k`` documents: by score, then by order of arrival.

    Args:
        snapshot: The index.
        space: One of its spaces.
        query: Integer weights.
        k: Most documents.
        alive: Per segment uint8 per row, 0 excludes; empty excludes none.
        threshold: Only scores above it.
    """
    rows = sum(segment.entry.row_count for segment in snapshot.segments)
    wanted = min(k, rows)
    while wanted:
        passages, exhausted = _rank_passages(snapshot, space, query, wanted, alive, threshold)
        best = _best_per_document(passages) if snapshot.is_split else passages
        if len(best) >= k or exhausted or wanted == rows:
            return best[:k]
        # Several passages of one document took each other's places: ask for more.
        wanted = min(2 * wanted, rows)
    return []


def _rank_passages(
    snapshot: Snapshot,
    space: SpaceView,
    query: IntegerQuery,
    k: int,
    alive: Sequence[NDArray[np.uint8]],
    threshold: int,
) -> tuple[list[RankedPassage], bool]:
    """The best ``k`` passages, and whether there are no more."""
    found: list[RankedPassage] = []
    exhausted = True
    for number, segment in enumerate(snapshot.segments):
        if len(found) >= k:
            # A later segment may still tie with the k-th passage and have arrived before it.
            threshold = max(threshold, found[k - 1].score - 1)
        scores, rows = space.search_segment(number, query, k, alive[number], threshold)
        if len(rows) >= k:
            exhausted = False
        doc_nums = rows if segment.passage_doc is None else segment.passage_doc[rows]
        columns = (scores, segment.ordinals[doc_nums], rows, doc_nums)
        found += [
            RankedPassage(score, ordinal, number, row, doc_num)
            for score, ordinal, row, doc_num in zip(*(c.tolist() for c in columns), strict=True)
        ]
        if number:
            found.sort(key=lambda passage: (-passage.score, passage.ordinal, passage.row))
            if len(found) > k:
                exhausted = False
                del found[k:]
    return found, exhausted


def _best_per_document(passages: Sequence[RankedPassage]) -> list[RankedPassage]:
    seen: set[int] = set()
    best = []
    for passage in passages:
        if passage.ordinal not in seen:
            seen.add(passage.ordinal)
            best.append(passage)
    return best


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
