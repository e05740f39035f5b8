"""Analyzers: from text to terms, for building and for queries alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.base import SparseRows
from encoders.errors import EncoderError
from encoders.query.porter import PorterStemmer
from encoders.query.stopwords import ENGLISH_STOP_WORDS
from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json
from encoders.query.word_break import is_joiners, word_spans, words

ANALYZER_NAMES = ("english", "english-all-words", "plain", "wordpiece")

_MAX_CACHED_WORDS = 1_000_000


class Analyzer(Protocol):
    """Turns text into terms; safe to share between threads.

    Attributes:
        name: What :func:`create_analyzer` calls it.
    """

    name: str

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, with repetitions."""
        ...

    def token_spans(self, text: str) -> list[tuple[str, int, int]]:
        """(term, start, end) of each term; offsets count the characters of ``text``."""
        ...

    def count_batch(self, texts: Sequence[str]) -> SparseRows:
        """How often each term stands in each text: one row per text, with ``terms``."""
        ...


def create_analyzer(name: str, tokenizer_json: bytes | None = None) -> Analyzer:
    """Makes an analyzer.

    Args:
        name: ``english`` (Lucene's EnglishAnalyzer: standard words, no possessive 's, lower
            case, 33 stop words removed, Porter stems), ``english-all-words`` (the same, stop
            words kept), ``plain`` (standard words in lower case) or ``wordpiece``.
        tokenizer_json: Content of the ``tokenizer.json`` for ``wordpiece``; that of
            bert-base-uncased when left out.

    Raises:
        EncoderError: There is no such analyzer, or ``tokenizer_json`` cannot be read.

    >>> create_analyzer("english").tokens("The cat's running shoes")
    ['cat', 'run', 'shoe']
    """
    if name == "wordpiece":
        return WordPieceAnalyzer(WordPieceTokenizer(tokenizer_json or default_tokenizer_json()))
    if tokenizer_json is not None:
        raise EncoderError(f"the analyzer {name!r} takes no tokenizer.json; only 'wordpiece' does.")
    if name == "english":
        return WordAnalyzer(name, EnglishTerms(ENGLISH_STOP_WORDS))
    if name == "english-all-words":
        return WordAnalyzer(name, EnglishTerms(frozenset()))
    if name == "plain":
        return WordAnalyzer(name, lower_case)
    raise EncoderError(f"there is no analyzer {name!r}; choose one of {', '.join(ANALYZER_NAMES)}.")


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


class _TermTable(dict[str, int]):
    """Word to the number of its term, -1 for a word that has none; it fills itself."""

    def __init__(self, term_of: Callable[[str], str]) -> None:
        self.terms: list[str] = []
        self._numbers: dict[str, int] = {}
        self._term_of = term_of
        self._lock = threading.Lock()  # term numbers must be unique, and a stemmer is not shared

    def __missing__(self, word: str) -> int:
        with self._lock:
            term = "" if is_joiners(word) else self._term_of(word)
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
        self._table = _TermTable(term_of)

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, with repetitions."""
        table = self._current_table()
        terms = table.terms
        return [terms[number] for number in map(table.__getitem__, words(text)) if number >= 0]

    def token_spans(self, text: str) -> list[tuple[str, int, int]]:
        """(term, start, end) of each term; offsets count the characters of ``text``."""
        table = self._current_table()
        numbered = ((table[text[start:end]], start, end) for start, end in word_spans(text))
        return [(table.terms[n], start, end) for n, start, end in numbered if n >= 0]

    def count_batch(self, texts: Sequence[str]) -> SparseRows:
        """How often each term stands in each text: one row per text, with ``terms``."""
        table = self._current_table()
        split = [words(text) for text in texts]
        lengths = np.fromiter(map(len, split), np.int64, len(split))
        numbers = np.fromiter(
            map(table.__getitem__, chain.from_iterable(split)), np.int64, int(lengths.sum())
        )
        return _count(lengths, numbers, table.terms)

    def _current_table(self) -> _TermTable:
        if len(self._table) > _MAX_CACHED_WORDS:
            self._table = _TermTable(self._term_of)  # others finish with the one they hold
        return self._table


class WordPieceAnalyzer:
    """The pieces of a WordPiece vocabulary as terms; what it cannot spell is dropped."""

    name = "wordpiece"

    def __init__(self, tokenizer: WordPieceTokenizer) -> None:
        self.tokenizer = tokenizer
        self._terms = tokenizer.tokens()
        self._numbers = np.arange(tokenizer.vocab_size, dtype=np.int64)
        self._numbers[list(tokenizer.special_ids)] = -1

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, with repetitions."""
        terms, special = self._terms, self.tokenizer.special_ids
        return [terms[i] for i in self.tokenizer.ids(text) if i not in special]

    def token_spans(self, text: str) -> list[tuple[str, int, int]]:
        """(term, start, end) of each term; offsets count the characters of ``text``."""
        terms, special = self._terms, self.tokenizer.special_ids
        spans = self.tokenizer.spans(text)
        return [(terms[i], start, end) for i, start, end in spans if i not in special]

    def count_batch(self, texts: Sequence[str]) -> SparseRows:
        """How often each term stands in each text: one row per text, with ``terms``."""
        rows = self.tokenizer.ids_batch(texts)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        ids = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
        return _count(lengths, self._numbers[ids], self._terms)


def _count(
    lengths: NDArray[np.int64], numbers: NDArray[np.int64], terms: Sequence[str]
) -> SparseRows:
    """Rows of counts from the term number of every token, -1 for a token without a term.

    The rows have only the terms that occur, numbered anew in the order of their numbers.
    """
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    kept = numbers >= 0
    width = len(terms) + 1
    keys, counts = np.unique(rows[kept] * width + numbers[kept], return_counts=True)
    indptr = np.searchsorted(keys, np.arange(len(lengths) + 1, dtype=np.int64) * width)
    used, dimensions = np.unique(keys % width, return_inverse=True)
    return SparseRows(
        indptr.astype(np.int64),
        dimensions.astype(np.uint32),
        counts.astype(np.float32),
        [terms[number] for number in used.tolist()],
    )
