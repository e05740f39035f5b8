"""Answers of an index by brute force, for those of a search to be compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.oracle import best
from retriever.query import integer_query
from retriever.snapshot import open_snapshot

Hits = list[tuple[str, float]]
"""Ids and scores as shown, best first."""


class EveryPosting:
    """Answers by brute force: all postings of a question's terms, added up in 64-bit integers.

    For indexes whose documents are not split into passages.
    """

    def __init__(self, index: Path, space: str) -> None:
        snapshot = open_snapshot(index)
        self._view = snapshot.space(space)
        self._ids = np.empty(snapshot.manifest.next_ordinal, dtype=object)
        self._arrivals = []  # of the rows, per segment
        for segment in snapshot.segments:
            ordinals = segment.ordinals.astype(np.int64)
            self._ids[ordinals] = segment.doc_ids.take(np.arange(len(ordinals)))
            order = slice(None) if segment.row_arrival is None else segment.row_arrival
            self._arrivals.append(ordinals[order])
        self._lists: dict[tuple[int, ...], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def ask(self, question: str, k: int, alive: NDArray[np.bool_]) -> Hits:
        """The best ``k`` of the documents that are ``alive``, by order of arrival."""
        query = integer_query(self._view.terms(question))
        scores = np.zeros(len(alive), dtype=np.int64)
        shown = np.zeros(len(alive))
        for term, weight, product in zip(query.terms, query.weights, query.products, strict=True):
            arrivals, impacts = self._list(term.dimensions)
            scores[arrivals] += weight * impacts
            shown[arrivals] += product * impacts
        scores[~alive] = 0
        return [(self._ids[number], float(shown[number])) for number in best(scores, k).tolist()]

    def _list(self, dimensions: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Arrivals and impacts of a term in all segments."""
        if dimensions not in self._lists:
            found = [
                (arrivals[rows], impacts)
                for arrivals, lists, dimension in zip(
                    self._arrivals, self._view.postings, dimensions, strict=True
                )
                if dimension >= 0
                for rows, impacts in [lists.postings(dimension)]
            ]
            none = np.zeros(0, dtype=np.int64)
            arrivals, impacts = (np.concatenate([none, *part]) for part in zip(*found, strict=True))
            self._lists[dimensions] = arrivals, impacts
        return self._lists[dimensions]
