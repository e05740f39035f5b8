"""Pairs of neighbouring words as terms: what a phrase says that its words alone do not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xxhash
from numpy.typing import NDArray

from encoders.base import SparseRows
from encoders.query.term_counts import count_terms
from encoders.query.word_analyzer import WordAnalyzer

BUCKET_BITS = 18
"""A collection has tens of millions of different pairs, which no dictionary should hold: a term is
one of 2^18 buckets. A passage of 80 pairs has 1 in 3,000 of the buckets, so that a query's pair
meets few passages by accident, and those share no word with it besides."""

# The first word's hash times an odd number, so that "a b" and "b a" differ.
_MULTIPLIER = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF
_SHIFT = 64 - BUCKET_BITS

_MAX_CACHED_PAIRS = 1 << 16


class BigramAnalyzer:
    """Pairs of terms that follow each other, words without a term left out between them.

    A term is the number of a bucket: the upper bits of
    ``0x9E3779B97F4A7C15 * xxh3(first) + xxh3(second)`` modulo 2^64, over UTF-8.

    >>> from encoders.query.word_analyzer import lower_case
    >>> BigramAnalyzer("pairs", WordAnalyzer("plain", lower_case)).tokens("Solar panel cost")
    ['bigram-284a8', 'bigram-19c4c']
    """

    def __init__(self, name: str, words: WordAnalyzer) -> None:
        self.name = name
        self._words = words
        self._pairs: dict[tuple[str, str], str] = {}

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, with repetitions."""
        return self._bigrams(self._words.tokens(text))

    def token_spans(self, text: str) -> list[tuple[str, int, int]]:
        """(term, start, end) of each pair, from its first word's start to its second's end."""
        spans = self._words.token_spans(text)
        terms = self._bigrams([term for term, _, _ in spans])
        return [
            (term, first[1], second[2])
            for term, (first, second) in zip(terms, pairwise(spans), strict=True)
        ]

    def count_batch(self, texts: Sequence[str]) -> SparseRows:
        """How often each term stands in each text: one row per text, with ``terms``."""
        lengths, numbers, terms = self._words.number_batch(texts)
        rows = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
        kept = numbers >= 0
        rows = rows[kept]
        used, places = np.unique(numbers[kept], return_inverse=True)
        hashes: NDArray[np.uint64] = np.fromiter(
            (_hash(terms[number]) for number in used.tolist()), np.uint64, len(used)
        )[places]
        buckets = (hashes[:-1] * np.uint64(_MULTIPLIER) + hashes[1:]) >> np.uint64(_SHIFT)
        within = rows[:-1] == rows[1:]
        lengths = np.bincount(rows[:-1][within], minlength=len(texts)).astype(np.int64)
        return count_terms(lengths, buckets[within].astype(np.int64), _term)

    def _bigrams(self, terms: Sequence[str]) -> list[str]:
        known = self._pairs
        try:
            return [known[pair] for pair in pairwise(terms)]
        except KeyError:
            if len(known) > _MAX_CACHED_PAIRS:
                known = self._pairs = {}  # others finish with the one they hold
            for first, second in pairwise(terms):
                bucket = ((_hash(first) * _MULTIPLIER + _hash(second)) & _MASK) >> _SHIFT
                known[first, second] = _term(bucket)
            return [known[pair] for pair in pairwise(terms)]


def _hash(term: str) -> int:
    return xxhash.xxh3_64_intdigest(term.encode("utf-8", "surrogatepass"))


def _term(bucket: int) -> str:
    return f"bigram-{bucket:05x}"
