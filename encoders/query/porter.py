"""Porter's stemmer as its author distributes it and Lucene runs it.

PyStemmer's ``porter`` follows the paper of 1980. Porter's own program departs from it in three
places, which this class adds: words of one or two letters stay as they are, and step 2 maps
``-bli`` to ``-ble`` (not ``-abli`` only) and ``-logi`` to ``-log``.
Source: https://tartarus.org/martin/PorterStemmer/, "Points of difference".
"""

from __future__ import annotations

import re

import Stemmer

# What step 1 (plurals, -ed, -ing, final y) turns into -logi or -bli.
_DEPARTURE = re.compile(r"(log|bl)(?:ies|[iy](?:ed|ing)?s?)\Z")


class PorterStemmer:
    """Stems lower-case English words; not safe to share between threads without a lock.

    >>> PorterStemmer().stem("technologies")
    'technolog'
    """

    def __init__(self) -> None:
        self._stemmer = Stemmer.Stemmer("porter", 0)

    def stem(self, word: str) -> str:
        """The stem of a word; never empty unless the word is."""
        if len(word) <= 2:
            return word
        departure = _DEPARTURE.search(word)
        if departure and _has_vowel_then_consonant(word[: departure.start()]):
            if departure[1] == "log":
                return word[: departure.end(1)]
            word = word[: departure.end(1)] + "e"
        stem: str = self._stemmer.stemWord(word)
        return stem


def _has_vowel_then_consonant(word: str) -> bool:
    """Whether Porter's measure of a word is above 0; y is a vowel after a consonant."""
    vowel_before = False
    for position, letter in enumerate(word):
        vowel = letter in "aeiou" or (letter == "y" and position > 0 and not vowel_before)
        if vowel_before and not vowel:
            return True
        vowel_before = vowel
    return False
