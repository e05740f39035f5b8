"""Stop words of the analyzers, and what they are in a vocabulary of word pieces."""

from __future__ import annotations

from encoders.query.tokenizer import WordPieceTokenizer

ENGLISH_STOP_WORDS: frozenset[str] = frozenset(
    """a an and are as at be but by for if in into is it no not of on or such that the their then
    there these they this to was will with""".split()  # noqa: SIM905
)
"""The 33 words of Lucene's ``EnglishAnalyzer.ENGLISH_STOP_WORDS_SET``."""


def without_content(tokenizer: WordPieceTokenizer) -> frozenset[int]:
    """Ids of the tokens that are English stop words, or have neither letter nor digit.

    They stand in most documents, so that their postings are the longest of a query, and say the
    least about it.

    >>> from encoders.query.tokenizer import default_tokenizer_json
    >>> tokenizer = WordPieceTokenizer(default_tokenizer_json())
    >>> ids = without_content(tokenizer)
    >>> [token for token in ("the", "?", "who", "##s") if tokenizer.id(token) in ids]
    ['the', '?']
    """
    return frozenset(
        number
        for number, token in enumerate(tokenizer.tokens())
        if token in ENGLISH_STOP_WORDS or not any(map(str.isalnum, token))
    )
