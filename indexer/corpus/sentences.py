"""Sentence boundaries, good enough to cut a long text where a reader would pause.

The rules are those of punctuation in Latin, Greek, Cyrillic and East Asian scripts; blank lines
and list items end a sentence too. Every step takes time linear in the text.
"""

from __future__ import annotations

import re

# Runs are matched whole and judged afterwards: a look-ahead behind a run would try again at each
# of its characters.
_BOUNDARY = re.compile(
    r"""[.!?…]+["'”’»)\]]*"""
    r"|[。！？｡।]+[”’」』）]*"
    r"|\n\s*\n"
    r"|\n(?=[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t])"
)
_LAST_WORD = re.compile(r"[\w.]*\Z")
_ABBREVIATIONS = frozenset(
    (
        *("al", "approx", "art", "cf", "co", "corp", "dept", "dr", "e.g", "ed", "eq", "eqs"),
        *("est", "etc", "fig", "figs", "gen", "i.e", "inc", "jr", "lt", "ltd", "mr", "mrs"),
        *("ms", "no", "nos", "p", "pp", "prof", "ref", "refs", "resp", "rev", "sec", "sgt"),
        *("sr", "st", "tab", "u.k", "u.s", "v", "viz", "vol", "vs", "z.b", "d.h", "bzw"),
    )
)


def split_sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Offsets of the sentences in ``text[start:end]``, trimmed; they cover all but white space.

    >>> [text[a:b] for text in ("It rains. See Fig. 3! Dr. No?",) for a, b in
    ...     split_sentences(text)]
    ['It rains.', 'See Fig. 3!', 'Dr. No?']
    """
    end = len(text) if end is None else end
    spans: list[tuple[int, int]] = []
    position = start
    for match in _BOUNDARY.finditer(text, start, end):
        stop = match.end()
        if match[0][0] in ".!?…" and not _ends_sentence(text, match.start(), stop, end):
            continue
        _append_trimmed(spans, text, position, stop)
        position = stop
    _append_trimmed(spans, text, position, end)
    return spans


def _ends_sentence(text: str, start: int, stop: int, end: int) -> bool:
    if stop < end and not text[stop].isspace():
        return False
    if text[start] != "." or stop - start > 1:
        return True
    match = _LAST_WORD.search(text, max(0, start - 12), start)
    word = match[0].lower() if match else ""
    is_initial = len(word) == 1 and word.isalpha() and text[start - 1].isupper()
    return not (is_initial or word in _ABBREVIATIONS)


def _append_trimmed(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    part = text[start:end]
    stripped = part.lstrip()
    start += len(part) - len(stripped)
    length = len(stripped.rstrip())
    if length:
        spans.append((start, start + length))
