"""Headings in plain text: lines with ``#`` and lines underlined with ``=`` or ``-``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HASHES = re.compile(r" {0,3}#{1,6}[ \t]+(?=\S)")
_CLOSING_HASHES = re.compile(r"[ \t]+#+$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINED_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Heading:
    """Character offsets of a heading's lines and of its words, without marks."""

    start: int
    end: int
    title_start: int
    title_end: int


def front_matter_end(text: str) -> int:
    """Offset behind a block of ``---`` lines that opens a Markdown file; 0 if there is none."""
    if not text.startswith("---\n"):
        return 0
    end = text.find("\n---\n", 3)
    return 0 if end < 0 else end + 5


def find_headings(text: str) -> Iterator[Heading]:
    r"""Headings in order; what stands in fenced code or in front matter is none.

    >>> text = "# A\n\nB\n-----\n"
    >>> [text[heading.title_start : heading.title_end] for heading in find_headings(text)]
    ['A', 'B']
    """
    if "#" not in text and "\n==" not in text and "\n--" not in text:
        return
    fence = ""
    # The line before, if an underline below it would make it a heading.
    above: tuple[int, int] | None = None
    after_blank = True
    position = front_matter_end(text)
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        start, position = position, end + 1
        line = text[start : min(end, start + 2 * _UNDERLINED_CHARACTERS)].rstrip()
        opening = _FENCE.match(line)
        if fence:
            if opening and opening[1].startswith(fence) and line == opening[0]:
                fence = ""
        elif opening:
            fence = opening[1]
        elif match := _HASHES.match(line):
            title_start = start + match.end()
            words = _CLOSING_HASHES.sub("", text[title_start:end].rstrip())
            yield Heading(start, end, title_start, title_start + len(words))
            line = ""
        elif above and len(line) >= 3 and line.strip("=" if line[0] == "=" else "-") == "":
            yield Heading(above[0], end, *above)
            line = ""
        is_short = line != "" and end - start <= _UNDERLINED_CHARACTERS
        indent = len(line) - len(line.lstrip())
        above = (start + indent, start + len(line)) if is_short and after_blank else None
        after_blank = line == ""
