"""A sentence taken out of its text, which then asks for the rest (inverse cloze)."""

from __future__ import annotations

import re

import xxhash

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")
_FEWEST_SENTENCES = 3
_FEWEST_WORDS = 5
_MOST_WORDS = 40


def take_sentence(doc_id: str, text: str) -> tuple[str, str] | None:
    """A sentence of 5 to 40 words, chosen by a hash of the id, and the text without it.

    The task is that of Lee, Chang and Toutanova (2019, arXiv 1906.00300).

    Returns:
        Both, or ``None`` for a text of fewer than three sentences, or without one of such length.

    >>> take_sentence("a", "It rains. The river rises until it floods the town. We leave.")
    ('The river rises until it floods the town.', 'It rains. We leave.')
    """
    sentences = _SENTENCE_END.split(text)
    places = [i for i, s in enumerate(sentences) if _FEWEST_WORDS <= len(s.split()) <= _MOST_WORDS]
    if len(sentences) < _FEWEST_SENTENCES or not places:
        return None
    taken = sentences.pop(places[xxhash.xxh64_intdigest(doc_id.encode()) % len(places)])
    return taken, " ".join(sentences)
