"""Sections of a text, from heading to heading, cut into counted units."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from indexer.corpus.headings import find_headings
from indexer.corpus.sentences import split_sentences

CountTokens = Callable[[Sequence[str]], Sequence[int]]

COUNT_BATCH = 4096

# A heading of more than a quarter of a passage is not repeated, nor are such sentences.
SMALL_SHARE = 4

_LINE = re.compile(r"\S[^\n]*")
_WORD = re.compile(r"\S+")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Unit:
    """What is not cut any further: a sentence, or a piece of one."""

    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Section:
    """Units of a section, its heading's lines among them.

    Attributes:
        units: At least one, in order, covering all but white space.
        tokens: Their sum.
        heading: Offsets of the heading's words; (0, 0) without one worth repeating.
        heading_tokens: Tokens of the heading.
    """

    units: list[Unit]
    tokens: int
    heading: Span
    heading_tokens: int


def cut_sections(text: str, max_tokens: int, count_tokens: CountTokens) -> Iterator[Section]:
    """Sections in order; a heading without text below it belongs to the section that follows.

    A unit and its section's heading take at most ``max_tokens``, unless the whole section does
    or a single character takes more.
    """
    cutter = _Cutter(text, max_tokens, count_tokens)
    heading: Span = (0, 0)
    sentences: list[Span] = []
    position = 0
    for found in itertools.chain(find_headings(text), [None]):
        body = split_sentences(text, position, len(text) if found is None else found.start)
        sentences += body
        if sentences and (body or found is None):
            yield cutter.section(sentences, heading)
            sentences = []
        if found is not None:
            sentences += split_sentences(text, found.start, found.end)
            heading = (found.title_start, found.title_end)
            position = found.end


class _Cutter:
    def __init__(self, text: str, max_tokens: int, count_tokens: CountTokens) -> None:
        self._text = text
        self._max_tokens = max_tokens
        self._count_tokens = count_tokens

    def section(self, sentences: list[Span], heading: Span) -> Section:
        counted = list(self._counted(sentences))
        heading_tokens = 0
        if heading[1]:
            ((_, heading_tokens),) = self._counted([heading])
        if heading_tokens > self._max_tokens // SMALL_SHARE:
            heading, heading_tokens = (0, 0), 0
        fits = sum(tokens for _, tokens in counted) <= self._max_tokens
        limit = self._max_tokens - heading_tokens
        units: list[Unit] = []
        for span, tokens in counted:
            if fits or tokens <= limit:
                units.append(Unit(*span, tokens))
            else:
                units += self._pieces(span, tokens, limit)
        return Section(units, sum(unit.tokens for unit in units), heading, heading_tokens)

    def _pieces(self, span: Span, tokens: int, limit: int) -> Iterator[Unit]:
        """A sentence over the limit, cut and packed anew, with only its last piece not full."""
        parts = self._parts(span, limit)
        if parts is None:
            yield Unit(*span, tokens)
            return
        pending: Unit | None = None
        for part, count in self._counted(parts):
            if pending is not None and pending.tokens + count <= limit:
                pending = Unit(pending.start, part[1], pending.tokens + count)
                continue
            if pending is not None:
                yield pending
                pending = None
            if count <= limit:
                pending = Unit(*part, count)
            else:
                yield from self._pieces(part, count, limit)
        if pending is not None:
            yield pending

    def _parts(self, span: Span, limit: int) -> Iterable[Span] | None:
        """Lines of several, else words of several, else some characters, else nothing."""
        for pattern in (_LINE, _WORD):
            first = pattern.match(self._text, *span)
            if first is None or first.end() < span[1]:
                return (match.span() for match in pattern.finditer(self._text, *span))
        length = span[1] - span[0]
        if length == 1:
            return None
        step = min(limit, (length + 1) // 2)
        return ((at, min(at + step, span[1])) for at in range(*span, step))

    def _counted(self, spans: Iterable[Span]) -> Iterator[tuple[Span, int]]:
        spans = iter(spans)
        while batch := list(itertools.islice(spans, COUNT_BATCH)):
            counts = self._count_tokens([self._text[start:end] for start, end in batch])
            yield from zip(batch, counts, strict=True)
