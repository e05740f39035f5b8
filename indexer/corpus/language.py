"""A cheap check whether a collection is mostly English."""

from __future__ import annotations

import re

from encoders.base import Document

# Frequent function words of English that are not frequent words of other languages in Latin
# script: no "in" (German, Dutch, Italian), "a" (French, Spanish), "on" (French), "at" (Danish).
FUNCTION_WORDS = frozenset(
    (
        *("the", "of", "and", "to", "that", "is", "for", "with", "as", "by", "this", "from"),
        *("are", "be", "or", "which", "it", "not", "were", "has", "been", "can", "their"),
        *("they", "his", "she", "you", "but", "what", "there", "when", "who", "would", "if"),
        *("more", "its", "into", "than", "these", "those", "other", "such", "only", "our"),
        *("through", "between", "how", "about", "does", "may", "each", "some", "where", "while"),
    )
)

# English prose has 25 to 35 % of them, lists of commands with explanations 15 %, other languages
# in Latin script 0 to 4 %.
LEAST_SHARE = 0.07
MOST_FOREIGN_LETTERS = 0.3

# With less text than this, nothing is said.
LEAST_WORDS = 40
LEAST_LETTERS = 10

_WORD = re.compile(r"[^\W\d_]+")
_FOREIGN_LETTER = re.compile(r"[^\W\d_\u0000-\u024f\u1e00-\u1eff]")


class EnglishDetector:
    """Looks at the beginning of the first documents.

    Args:
        documents: How many documents to look at.
        characters: How much of each.

    >>> detector = EnglishDetector()
    >>> for number in range(20):
    ...     detector.add(Document(str(number), "Der Fluss trat nach dem Regen über die Ufer."))
    >>> print(detector.warning())
    the text seems not to be English (0% of the words in 20 documents are common English words): \
English stemming and stop words would spoil the ranking. Use --analyzer plain.
    """

    def __init__(self, documents: int = 1000, characters: int = 2000) -> None:
        self._wanted = documents
        self._characters = characters
        self._documents = 0
        self._words = 0
        self._function_words = 0
        self._letters = 0
        self._foreign_letters = 0

    @property
    def is_full(self) -> bool:
        """Whether further documents would not be looked at."""
        return self._documents >= self._wanted

    def add(self, document: Document) -> None:
        """Looks at a document, unless there were enough."""
        if self.is_full:
            return
        self._documents += 1
        text = (document.text or document.title)[: self._characters].lower()
        words = _WORD.findall(text)
        self._words += len(words)
        self._function_words += sum(word in FUNCTION_WORDS for word in words)
        self._letters += sum(map(len, words))
        if not text.isascii():
            self._foreign_letters += len(_FOREIGN_LETTER.findall(text))

    def finding(self) -> str | None:
        """What speaks against English if what was seen is mostly not English, else ``None``."""
        foreign = self._foreign_letters / max(1, self._letters)
        common = self._function_words / max(1, self._words)
        if self._letters >= LEAST_LETTERS and foreign > MOST_FOREIGN_LETTERS:
            return f"{foreign:.0%} of the letters in {self._documents:,} documents are not Latin"
        if self._words >= LEAST_WORDS and common < LEAST_SHARE:
            return (
                f"{common:.0%} of the words in {self._documents:,} documents are common "
                "English words"
            )
        return None

    def warning(self) -> str | None:
        """A warning if what was seen is mostly not English, else ``None``."""
        found = self.finding()
        if found is None:
            return None
        return (
            f"the text seems not to be English ({found}): English stemming and stop words would "
            "spoil the ranking. Use --analyzer plain."
        )
