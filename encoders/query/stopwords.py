"""Stop words of the analyzers."""

from __future__ import annotations

ENGLISH_STOP_WORDS: frozenset[str] = frozenset(
    """a an and are as at be but by for if in into is it no not of on or such that the their then
    there these they this to was will with""".split()  # noqa: SIM905
)
"""The 33 words of Lucene's ``EnglishAnalyzer.ENGLISH_STOP_WORDS_SET``."""
