"""Ranks the first documents of a search again, by static vectors beside their scores.

To the score of each of the first ``depth`` documents is added ``weight`` times the cosine of its
best passage and the query, where that is above 0. No document gains less than nothing and the
others gain nothing, so these stay behind. A query's vector is a sum over its tokens: no network
is asked, and each token has its share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.query.tokenizer import shared_tokenizer
from indexer.errors import IndexCorruptError
from indexer.format.arrays import read_array
from indexer.format.manifest import RerankEntry
from indexer.format.segment import Segment
from kernels.cpu.vectors import LARGEST_GAIN, VECTOR_STEP, pool_query, rank_again
from retriever.ranked import Ranking

RERANK = "rerank"
"""Name of the part under which explanations show the shares of the cosine."""


class QueryVector(NamedTuple):
    """A query as static vectors see it.

    Attributes:
        weight: Of the cosine beside the score.
        tokens: int64[m], its distinct tokens.
        counts: float64[m], how often each counts.
    """

    weight: float
    tokens: NDArray[np.int64]
    counts: NDArray[np.float64]


class Reranker:
    """The static vectors of a snapshot."""

    def __init__(self, index: Path, entry: RerankEntry, segments: Sequence[Segment]) -> None:
        """Opens the query side.

        Raises:
            IndexCorruptError: The files do not fit each other.
            encoders.errors.EncoderError: The tokenizer cannot be read.
        """
        self.entry = entry
        self.tokenizer = shared_tokenizer((index / entry.tokenizer_file).read_bytes())
        self._table: NDArray[np.int8] = read_array(index / entry.table_file, np.int8, ndim=2)
        self._weights: NDArray[np.float32] = read_array(index / entry.weights_file, np.float32)
        size = self.tokenizer.vocab_size
        if self._table.shape != (size, entry.dimensions):
            raise IndexCorruptError(
                index / entry.table_file, f"not {entry.dimensions} numbers for {size} tokens"
            )
        if len(self._weights) != size or not np.isfinite(self._weights).all():
            raise IndexCorruptError(index / entry.weights_file, f"not {size} finite numbers")
        self._vectors = []
        for segment in segments:
            if segment.vectors is None or segment.vectors.shape[1] != entry.dimensions:
                raise IndexCorruptError(
                    segment.directory, f"has no static vectors of {entry.dimensions} dimensions"
                )
            self._vectors.append(segment.vectors)

    def query_vector(self, query: str, weight: float) -> QueryVector | None:
        """A query's tokens; ``None`` if it has none."""
        ids = self.tokenizer.ids(query)
        if not ids:
            return None
        tokens = np.array(list(dict.fromkeys(ids)), dtype=np.int64)
        if len(tokens) == len(ids):
            counts = np.ones(len(ids))
        else:
            counts = 1 + np.log(np.array(list(Counter(ids).values())))  # in the same order
        return QueryVector(weight, tokens, counts)

    def rerank(self, ranking: Ranking, query: QueryVector, factor: float) -> tuple[Ranking, float]:
        """The ranking with the first ``depth`` documents in their new order.

        Args:
            ranking: Documents by their integer scores; of equal totals the first comes first.
            query: The query.
            factor: Integer score of a float score of 1.

        Returns:
            The ranking, and the factor of its scores: a smaller one where the cosines are so heavy
            beside the scores that they would not fit 64 bits.
        """
        if not len(ranking):
            return ranking, factor
        depth = min(self.entry.depth, len(ranking))
        scores, order = ranking.scores.copy(), np.arange(len(ranking))
        heaviest = query.weight * factor
        if heaviest > LARGEST_GAIN:
            factor *= LARGEST_GAIN / heaviest
            scores = (scores * (LARGEST_GAIN / heaviest)).astype(np.int64)
        vectors, rows = self._vectors[0], ranking.rows
        if len(self._vectors) > 1:
            vectors, rows = self._passages(ranking, depth), np.arange(depth)
        rank_again(
            query.tokens,
            query.counts,
            self._table,
            self._weights,
            vectors,
            rows,
            depth,
            query.weight * factor,
            scores,
            order,
        )
        changed = Ranking(
            scores, ranking.segments[order], ranking.rows[order], ranking.doc_nums[order]
        )
        return changed, factor

    def gains(self, ranking: Ranking, query: QueryVector) -> NDArray[np.float64]:
        """float64[n]: what each document of a reranked ranking has gained, without rounding."""
        depth = min(self.entry.depth, len(ranking))
        vector, _ = self._summed(query)
        gains = np.zeros(len(ranking))
        cosines = VECTOR_STEP * (self._passages(ranking, depth) @ vector)
        gains[:depth] = query.weight * np.maximum(cosines, 0)
        return gains

    def shares(self, query: QueryVector, segment: int, row: int) -> list[tuple[int, float, float]]:
        """Per token of a query what it weighs and what it finds in a passage.

        The products add up to the passage's gain; there are none if that is 0.
        """
        vector, length = self._summed(query)
        passage = self._vectors[segment][row].astype(np.float64)
        if not passage @ vector > 0:
            return []
        worth = query.weight / length * query.counts * self._weights[query.tokens]
        found = VECTOR_STEP * (self._table[query.tokens] @ passage)
        return list(zip(query.tokens.tolist(), worth.tolist(), found.tolist(), strict=True))

    def _summed(self, query: QueryVector) -> tuple[NDArray[np.float64], float]:
        """float64[d] of norm 1, or zeros, and the norm before."""
        vector = np.empty(self.entry.dimensions)
        rounded = np.empty(self.entry.dimensions, dtype=np.int32)
        length: float = pool_query(
            query.tokens, query.counts, self._table, self._weights, vector, rounded
        )
        return vector, length

    def _passages(self, ranking: Ranking, depth: int) -> NDArray[np.int8]:
        """int8[depth, d], the vectors of the first documents' passages."""
        if len(self._vectors) == 1:
            return self._vectors[0][ranking.rows[:depth]]
        found = np.empty((depth, self.entry.dimensions), dtype=np.int8)
        segments = ranking.segments[:depth]
        for number in np.unique(segments).tolist():
            here = np.flatnonzero(segments == number)
            found[here] = self._vectors[number][ranking.rows[here]]
        return found
