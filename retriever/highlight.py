"""Snippets: the piece of a document's text with the most matched terms."""

from __future__ import annotations

from collections.abc import Mapping

from encoders.query.analyzer import Analyzer
from retriever.results import Snippet

SNIPPET_CHARACTERS = 240


def highlight(
    title: str,
    text: str,
    terms: Mapping[str, tuple[Analyzer, Mapping[str, float]]],
) -> tuple[Snippet, ...]:
    """The title, if terms stand in it, and the best window of the text.

    Args:
        title: Title of the document.
        text: Text of the passage.
        terms: Per part the analyzer and the query terms with their contributions.
    """
    snippets = []
    title_matches = _matches(title, terms)
    if title_matches:
        spans = tuple((begin, end) for begin, end, _ in title_matches)
        snippets.append(Snippet("title", title, spans))
    matches = _matches(text, terms)
    if matches:
        begin, end = _best_window(text, matches)
        spans = tuple((a - begin, b - begin) for a, b, _ in matches if a >= begin and b <= end)
        snippets.append(Snippet("text", text[begin:end], spans))
    elif text:
        snippets.append(Snippet("text", text[: _word_end(text, SNIPPET_CHARACTERS)]))
    return tuple(snippets)


def _matches(
    text: str, terms: Mapping[str, tuple[Analyzer, Mapping[str, float]]]
) -> list[tuple[int, int, float]]:
    """Non-overlapping (start, end, weight) of matched tokens, in order."""
    found: list[tuple[int, int, float]] = []
    for analyzer, weights in terms.values():
        for term, begin, end in analyzer.token_spans(text):
            if term in weights:
                found.append((begin, end, weights[term]))
    found.sort(key=lambda match: (match[0], -match[1]))
    merged: list[tuple[int, int, float]] = []
    for match in found:
        if not merged or match[0] >= merged[-1][1]:
            merged.append(match)
    return merged


def _best_window(text: str, matches: list[tuple[int, int, float]]) -> tuple[int, int]:
    """Bounds of the window whose matched words weigh most, repeated words counting once."""
    best, best_weight = 0, -1.0
    last = 0
    for first in range(len(matches)):
        while last < len(matches) and matches[last][1] - matches[first][0] <= SNIPPET_CHARACTERS:
            last += 1
        words: dict[str, float] = {}
        for begin, end, weight in matches[first : max(last, first + 1)]:
            words[text[begin:end].lower()] = weight
        weight = sum(words.values())
        if weight > best_weight:
            best, best_weight = first, weight
    center = matches[best][0]
    begin = _word_start(text, max(0, center - SNIPPET_CHARACTERS // 6))
    end = _word_end(text, max(begin + SNIPPET_CHARACTERS, matches[best][1]))
    return begin, end


def _word_start(text: str, position: int) -> int:
    limit = max(0, position - 30)
    while position > limit and not text[position - 1].isspace():
        position -= 1
    return position


def _word_end(text: str, position: int) -> int:
    limit = min(len(text), position + 30)
    while position < limit and not text[position].isspace():
        position += 1
    return min(position, len(text))
