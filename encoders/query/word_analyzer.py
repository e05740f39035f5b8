"""Words by Unicode's rules as terms, plain or stemmed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from encoders.base import SparseRows
from encoders.query.porter import PorterStemmer
from encoders.query.term_counts import count_terms
from encoders.query.word_break import is_joiners, word_spans, words

_MAX_CACHED_WORDS = 1_000_000
"""Of texts to index, for as long as that takes."""

_MAX_QUERY_WORDS = 1 << 16
"""Of queries, which a server keeps for as long as it runs."""

_MAX_KEPT_WORD = 64
"""Length of a word that is kept for queries: what is longer is no word of a language."""

_MAX_KEPT_CHARACTERS = 1000
"""Length of a text whose terms are kept: queries are shorter."""


def lower_case(word: str) -> str:
    """Lower case, one character at a time as Lucene does, whatever stands beside it."""
    if word.isascii():
        return word.lower()
    return "".join("i" if c == "İ" else c.lower() for c in word)


class EnglishTerms:
    """The term of an English word: possessive 's and case removed, stop words dropped, stemmed."""

    def __init__(self, stop_words: frozenset[str]) -> None:
        self._stop_words = stop_words
        self._stemmer = PorterStemmer()

    def __call__(self, word: str) -> str:
        """The term, or the empty string for a stop word."""
        if word[-1] in "sS" and word[-2:-1] in ("'", "’", "＇"):
            word = word[:-2]
        term = lower_case(word)
        if term in self._stop_words:
            return ""
        return self._stemmer.stem(term)


class _Terms(dict[str, str]):
    """Word to its term, the empty string for a word that has none; it fills itself."""

    def __init__(self, term_of: Callable[[str], str]) -> None:
        self._term_of = term_of

    def __missing__(self, word: str) -> str:
        # One string for a term, whatever its word: other tables find it by identity.
        term = sys.intern(self._term_of(word))
        if len(word) <= _MAX_KEPT_WORD:
            self[word] = term
        return term


class _TermNumbers(dict[str, int]):
    """Word to the number of its term, -1 for a word that has none; it fills itself."""

    def __init__(self, term_of: Callable[[str], str]) -> None:
        self.terms: list[str] = []
        self._numbers: dict[str, int] = {}
        self._term_of = term_of
        self._lock = threading.Lock()  # term numbers must be unique

    def __missing__(self, word: str) -> int:
        with self._lock:
            term = self._term_of(word)
            if not term:
                number = -1
            elif term in self._numbers:
                number = self._numbers[term]
            else:
                number = self._numbers[term] = len(self.terms)
                self.terms.append(term)
            self[word] = number
        return number


class WordAnalyzer:
    """Words by Unicode's rules, each turned into one term or dropped."""

    def __init__(self, name: str, term_of: Callable[[str], str]) -> None:
        self.name = name
        self._term_of = term_of
        self._stemming = threading.Lock()  # a stemmer is not shared
        self._terms = _Terms(self._term)
        self._numbers = _TermNumbers(self._term)
        self._last: tuple[str, list[str]] = ("", [])

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, with repetitions."""
        last, found = self._last  # words and pairs of words ask for the same query in turn
        if text != last:
            terms = self._current_terms()
            found = [term for word in words(text) if (term := terms[word])]
            if len(text) <= _MAX_KEPT_CHARACTERS:
                self._last = (text, found)
        return list(found)

    def token_spans(self, text: str) -> list[tuple[str, int, int]]:
        """(term, start, end) of each term; offsets count the characters of ``text``."""
        terms = self._current_terms()
        found = ((terms[text[start:end]], start, end) for start, end in word_spans(text))
        return [(term, start, end) for term, start, end in found if term]

    def count_batch(self, texts: Sequence[str]) -> SparseRows:
        """How often each term stands in each text: one row per text, with ``terms``."""
        lengths, numbers, terms = self.number_batch(texts)
        return count_terms(lengths, numbers, terms.__getitem__)

    def number_batch(
        self, texts: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Sequence[str]]:
        """Number of words of each text, the term number of every word (-1: none), the terms."""
        if len(self._numbers) > _MAX_CACHED_WORDS:
            self._numbers = _TermNumbers(self._term)  # others finish with the one they hold
        table = self._numbers
        split = [words(text) for text in texts]
        lengths = np.fromiter(map(len, split), np.int64, len(split))
        numbers = np.fromiter(
            map(table.__getitem__, chain.from_iterable(split)), np.int64, int(lengths.sum())
        )
        return lengths, numbers, table.terms

    def _current_terms(self) -> _Terms:
        if len(self._terms) > _MAX_QUERY_WORDS:
            self._terms = _Terms(self._term)  # others finish with the one they hold
        return self._terms

    def _term(self, word: str) -> str:
        """The term of a word, the empty string if it has none."""
        if is_joiners(word):
            return ""
        with self._stemming:
            return self._term_of(word)
