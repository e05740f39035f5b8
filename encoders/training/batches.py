"""Micro-batches: queries of one source with their relevant documents and mined negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.training.configuration import ScheduleSettings
from encoders.training.lexical import Scores
from encoders.training.pool import PoolSource


@dataclass(frozen=True)
class Batch:
    """Numbers of queries and documents within a source.

    Attributes:
        source: The source.
        queries: int64[B].
        documents: int64[D], distinct; every query is scored against all of them.
        positive: int64[B], column of the document drawn as the query's relevant one; where nobody
            knows any, of the first that was mined.
        relevant: bool[B, D], all columns that are relevant to the query.
    """

    source: PoolSource
    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    positive: NDArray[np.int64]
    relevant: NDArray[np.bool_]


def draw(
    pool: Sequence[PoolSource], settings: ScheduleSettings, seed: int, step: int
) -> list[Batch]:
    """The micro-batches of a step; a function of seed and step alone, so that runs can resume."""
    rng = np.random.default_rng((seed, step))
    shares = np.array([source.weight for source in pool])
    chosen = rng.choice(len(pool), settings.accumulate, p=shares / shares.sum())
    return [_draw(pool[number], settings, rng) for number in chosen]


def _draw(source: PoolSource, settings: ScheduleSettings, rng: np.random.Generator) -> Batch:
    near = _neighbourhood(source, settings.neighbourhood, rng)
    queries = rng.choice(near, min(settings.queries, len(near)), replace=False)
    firsts, others = [], []
    for query in queries:
        negatives = source.negatives[query, : settings.negative_depth]
        negatives = negatives[negatives >= 0]
        if source.positives[query]:
            firsts.append(int(rng.choice(source.positives[query])))
        else:
            firsts.append(int(negatives[0]))
            negatives = negatives[1:]
        others.append(rng.choice(negatives, min(settings.negatives, len(negatives)), replace=False))
    documents = np.unique(np.concatenate([firsts, *others]).astype(np.int64))
    relevant = np.zeros((len(queries), len(documents)), bool)
    for row, query in zip(relevant, queries, strict=True):
        row[np.isin(documents, source.positives[query])] = True
    return Batch(source, queries, documents, np.searchsorted(documents, firsts), relevant)


def _neighbourhood(source: PoolSource, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Queries about one topic: a random one and those nearest to it, or all of the source.

    The documents of the other queries are candidates too; about one topic, they are hard ones
    (topic-aware sampling, arXiv 2104.06967).
    """
    count = len(source.positives)
    dense = source.teachers.get("dense")
    if not size or size >= count or not isinstance(dense, Scores):
        return np.arange(count)
    vectors = np.asarray(dense.queries, np.float32)
    similarity = vectors @ vectors[rng.integers(count)]
    # Sorted, so that equal draws do not depend on the order within a partition.
    return np.sort(np.argpartition(-similarity, size)[:size]).astype(np.int64)
