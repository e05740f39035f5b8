"""Long documents become passages: sections at headings, then windows of whole sentences."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from encoders.base import Document
from indexer.corpus.sections import SMALL_SHARE, CountTokens, Section, cut_sections

# What is left of a section, in windows, that two share evenly.
SHARED_EVENLY = 1.5


@dataclass(frozen=True, slots=True)
class PassageSpan:
    """A passage as character offsets in ``Document.text``.

    ``heading_start`` and ``heading_end`` mark the words of the heading that the passage stands
    under, if they lie before it; (0, 0) is none.
    """

    start: int
    end: int
    heading_start: int = 0
    heading_end: int = 0


def split_passages(
    text: str,
    *,
    max_tokens: int,
    count_tokens: CountTokens,
    overlap_sentences: int = 1,
    slack: float = 1.5,
) -> list[PassageSpan]:
    """Splits a text into passages that an encoder reads whole.

    A text of at most ``slack * max_tokens`` is one passage. Else it is cut at headings;
    sections that fit one window together share it; longer ones become windows of whole
    sentences. Longer sentences are cut at line breaks, else between words, else within a word.
    Everything but white space is in some passage. Passages ascend by start and by end, and the
    time is linear in the text.

    Args:
        text: Body of a document.
        max_tokens: Most tokens of a passage of a text that is split, its repeated heading
            included.
        count_tokens: Token counts of texts, without special tokens. The tokens of a text must
            be those of its parts between white space, and at most one per character.
        overlap_sentences: Sentences that a window repeats from the one before in its section,
            as far as they take no more than a quarter of it.
        slack: How much longer a text may be without being split: 1.5 where the limit is a
            matter of taste, 1.0 where an encoder would cut what is over it.

    Returns:
        At least one span, also for an empty text.

    >>> def count_words(texts): return [len(text.split()) for text in texts]
    >>> text = "One two. Three four."
    >>> [text[span.start : span.end]
    ...     for span in split_passages(text, max_tokens=2, count_tokens=count_words)]
    ['One two.', 'Three four.']
    """
    whole = [PassageSpan(0, len(text))]
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
    most = max(1.0, slack) * max_tokens
    if len(text) <= most or text.isspace() or count_tokens([text])[0] <= most:
        return whole
    spans: list[PassageSpan] = []
    # The passage to which further sections may be added, and its tokens.
    pending: PassageSpan | None = None
    tokens = 0
    for section in cut_sections(text, max_tokens, count_tokens):
        start, end = section.units[0].start, section.units[-1].end
        if pending is not None and tokens + section.tokens <= max_tokens:
            pending, tokens = PassageSpan(pending.start, end), tokens + section.tokens
            continue
        if pending is not None:
            spans.append(pending)
            pending = None
        if section.tokens <= max_tokens:
            pending, tokens = PassageSpan(start, end), section.tokens
        else:
            spans += _windows(section, max_tokens, overlap_sentences)
    if pending is not None:
        spans.append(pending)
    return spans


def _windows(section: Section, max_tokens: int, overlap_sentences: int) -> Iterator[PassageSpan]:
    units = section.units
    # Tokens before each unit, so that those of units i to j are before[j] - before[i].
    before = [0, *itertools.accumulate(unit.tokens for unit in units)]
    first = fresh = 0
    while fresh < len(units):
        # Only a window behind the heading's line has it repeated.
        is_behind = 0 < section.heading[1] <= units[first].start
        budget = max_tokens - section.heading_tokens if is_behind else max_tokens
        left = before[-1] - before[first]
        # Two windows of even length rather than a full one and a remnant.
        target = left / 2 if budget < left <= SHARED_EVENLY * budget else budget
        stop = fresh + 1
        while (
            stop < len(units)
            and before[stop] - before[first] < target
            and before[stop + 1] - before[first] <= budget
        ):
            stop += 1
        heading = section.heading if is_behind else (0, 0)
        yield PassageSpan(units[first].start, units[stop - 1].end, *heading)
        oldest, first, fresh = first + 1, stop, stop
        limit = max_tokens - section.heading_tokens
        while (
            first > max(oldest, fresh - overlap_sentences)
            and fresh < len(units)
            and before[fresh] - before[first - 1] <= limit // SMALL_SHARE
            and before[fresh + 1] - before[first - 1] <= limit
        ):
            first -= 1


def passage_document(document: Document, span: PassageSpan) -> Document:
    r"""The passage as encoders see it: title, then heading and text.

    >>> passage_document(Document("d", "A\n\nb c", "T"), PassageSpan(3, 6, 0, 1)).full_text()
    'T A\nb c'
    """
    if span.start == 0 and span.end == len(document.text):
        return document
    text = document.text[span.start : span.end]
    if span.heading_end > span.heading_start:
        text = f"{document.text[span.heading_start : span.heading_end]}\n{text}"
    return replace(document, text=text)
