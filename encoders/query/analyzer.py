"""Analyzers: from text to terms, for building and for queries alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Protocol

import numpy as np

from encoders.base import SparseRows
from encoders.errors import EncoderError
from encoders.query.bigram_analyzer import BigramAnalyzer
from encoders.query.stopwords import ENGLISH_STOP_WORDS
from encoders.query.term_counts import count_terms
from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json
from encoders.query.word_analyzer import EnglishTerms, WordAnalyzer, lower_case

ANALYZER_NAMES = ("english", "english-all-words", "english-bigrams", "plain", "wordpiece")


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
            words kept), ``english-bigrams`` (pairs of neighbouring ``english`` terms),
            ``plain`` (standard words in lower case) or ``wordpiece``.
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
    if name == "english-bigrams":
        return BigramAnalyzer(name, _shared_words("english"))
    if name in ANALYZER_NAMES:
        return _shared_words(name)
    raise EncoderError(f"there is no analyzer {name!r}; choose one of {', '.join(ANALYZER_NAMES)}.")


@cache
def _shared_words(name: str) -> WordAnalyzer:
    """One analyzer of a name for the process, so that parts share what it knows of words."""
    terms: dict[str, Callable[[str], str]] = {
        "english": EnglishTerms(ENGLISH_STOP_WORDS),
        "english-all-words": EnglishTerms(frozenset()),
        "plain": lower_case,
    }
    return WordAnalyzer(name, terms[name])


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
        return count_terms(lengths, self._numbers[ids], self._terms.__getitem__)
