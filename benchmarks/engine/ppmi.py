"""Learned-like vectors of real text: words expanded by pointwise mutual information.

A stand-in for a trained encoder where none can encode so many records: a document gets its own
words, those that occur with them more often than chance (positive normalised PMI over a sample
of the records), and weights that fall with the frequency of the word, as the FLOPS regulariser of
SPLADE makes them. How steeply they fall is found by bisection so that real questions have a given
FLOPS: the mean over questions of the sum of df/N over their terms.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numba import njit
from numpy.typing import NDArray

from benchmarks.engine.counts import Counts
from encoders.query.idf import idf

NEIGHBOURS = 14
MAX_TERMS = 180
SMALLEST_WEIGHT = 0.06
SAMPLE = 80_000
FREQUENT = 0.12  # of the records: such words say nothing about their neighbours


def neighbours(counts: Counts, seed: int = 0) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best neighbours of each term: int32[V, K] (-1 for none) and their strength float32[V, K].

    Strength is normalised PMI (Bouma 2009), less for rare pairs and more for frequent neighbours.
    """
    size, total = len(counts.vocabulary), len(counts.ids)
    chosen = np.random.default_rng(seed).choice(total, min(SAMPLE, total), replace=False)
    ones = np.ones(len(counts.terms), dtype=np.float32)
    matrix = sp.csr_matrix((ones, counts.terms.astype(np.int32), counts.indptr), (total, size))
    rare = (counts.doc_freq() < FREQUENT * total).astype(np.float32)
    sample = (matrix[np.sort(chosen)] @ sp.diags(rare)).tocsr()
    sample.eliminate_zeros()
    doc_freq = np.asarray(sample.sum(axis=0)).ravel()
    terms = np.full((size, NEIGHBOURS), -1, dtype=np.int32)
    strength = np.zeros((size, NEIGHBOURS), dtype=np.float32)
    by_term = sample.T.tocsr()
    for first in range(0, size, 2000):  # slices, for the whole product takes gigabytes
        pairs = (by_term[first : first + 2000] @ sample).tocsr()
        _best_neighbours(
            pairs.indptr, pairs.indices, pairs.data, first, doc_freq, len(chosen), terms, strength
        )
    return terms, strength


@njit(cache=True)
def _best_neighbours(  # type: ignore[no-untyped-def]
    indptr, indices, data, first, doc_freq, total, terms, strength
):
    for row in range(len(indptr) - 1):
        term = first + row
        begin, end = indptr[row], indptr[row + 1]
        scores = np.zeros(end - begin, dtype=np.float32)
        for at in range(begin, end):
            other, together = indices[at], data[at]
            if other == term or together < 4:
                continue
            pmi = np.log(together * total / (doc_freq[term] * doc_freq[other]))
            value = pmi / -np.log(together / total) * min(1.0, np.log1p(together) / 4)
            scores[at - begin] = value * (1 + 0.15 * np.log1p(doc_freq[other]) / np.log(10))
        for rank, at in enumerate(np.argsort(-scores)[: terms.shape[1]]):
            if scores[at] <= 0.05:
                break
            terms[term, rank] = indices[begin + at]
            strength[term, rank] = scores[at]


def expand(
    counts: Counts,
    near: tuple[NDArray[np.int32], NDArray[np.float32]],
    power: float,
    records: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
    """CSR rows of the expanded records: indptr, dimensions (ascending), weights.

    Args:
        counts: Of the whole collection.
        near: Neighbours of each term.
        power: How steeply weights fall with the idf of a word.
        records: Which records.
    """
    rarity = np.minimum(1, idf(len(counts.ids), counts.doc_freq()) / np.float32(5))
    importance = (rarity**power).astype(np.float32)
    room = len(records) * MAX_TERMS
    indptr = np.zeros(len(records) + 1, dtype=np.int64)
    dimensions, weights = np.empty(room, dtype=np.uint32), np.empty(room, dtype=np.float32)
    _expand(
        counts.indptr,
        counts.terms,
        counts.counts,
        *near,
        importance,
        records,
        indptr,
        dimensions,
        weights,
    )
    return indptr, dimensions[: indptr[-1]], weights[: indptr[-1]]


@njit(cache=True)
def _expand(  # type: ignore[no-untyped-def]
    source_indptr, terms, counts, near, strength, importance, records, indptr, dimensions, weights
):
    value = np.zeros(len(importance), dtype=np.float32)
    touched = np.empty(len(importance), dtype=np.int64)
    for number, record in enumerate(records):
        size = 0
        for at in range(source_indptr[record], source_indptr[record + 1]):
            term, count = np.int64(terms[at]), counts[at]
            value[term] = np.float32(1.3) * count / (count + np.float32(0.7)) * importance[term]
            touched[size] = term
            size += 1
        own = size
        for position in range(own):
            term = touched[position]
            for rank in range(near.shape[1]):
                other = near[term, rank]
                if other < 0:
                    break
                passed_on = np.float32(0.8) * value[term] * strength[term, rank]
                if value[other] == 0:
                    touched[size] = other
                    size += 1
                    value[other] = passed_on
                elif passed_on > value[other]:
                    value[other] = passed_on + np.float32(0.05)
        found = touched[:size]
        best = found[value[found] >= SMALLEST_WEIGHT]
        if len(best) > MAX_TERMS:
            best = best[np.argsort(-value[best])[:MAX_TERMS]]
        best.sort()
        start = indptr[number]
        for position, term in enumerate(best):
            dimensions[start + position] = term
            weights[start + position] = np.float32(1.6) * np.log1p(value[term])
        indptr[number + 1] = start + len(best)
        value[found] = 0


def flops(doc_freq: NDArray[np.int64], total: int, queries: list[NDArray[np.int64]]) -> float:
    """Mean over queries of the sum of df/N over their terms."""
    return float(np.mean([doc_freq[terms].sum() / total for terms in queries]))


def find_power(
    counts: Counts,
    near: tuple[NDArray[np.int32], NDArray[np.float32]],
    queries: list[NDArray[np.int64]],
    target: float,
    sample: int = 8_000,
) -> float:
    """The power at which the queries have the target FLOPS, by bisection on a sample."""
    total = len(counts.ids)
    records = np.arange(0, total, max(1, total // sample))
    low, high = 0.0, 4.0
    for _ in range(11):
        power = (low + high) / 2
        _, dimensions, _ = expand(counts, near, power, records)
        doc_freq = np.bincount(dimensions, minlength=len(counts.vocabulary))
        if flops(doc_freq, len(records), queries) > target:
            low = power
        else:
            high = power
    return (low + high) / 2
