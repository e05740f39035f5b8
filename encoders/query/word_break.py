"""Word boundaries of Unicode Standard Annex 29, as Lucene's StandardTokenizer reads them.

A word is a run of letters and digits with what may stand inside it (``don't``, ``3.14``,
``U.S.A``, ``snake_case``) and with the combining marks of its letters. Han ideographs and
Hiragana are single tokens, South-East Asian scripts stay in runs, emoji are tokens, and
punctuation is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import regex

MAX_TOKEN_LENGTH = 255
"""A longer token is cut, and its rest is read anew, as Lucene does."""

# ASCII only: the same boundaries as _UNICODE_WORD, several times as fast. A run of word
# characters, and after a character that may stand inside a word another run, when the neighbours
# are both letters or both digits.
_ASCII_WORD = re.compile(
    r"\w+(?:[.:;,'](?:(?<=[A-Za-z][.:'])(?=[A-Za-z])|(?<=[0-9][.,;'])(?=[0-9]))\w+)*", re.ASCII
)
_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_WHITE_SPACE = re.compile(r"[ \t\r\n]")

# Extended_Pictographic of Unicode 12.1, as in Lucene. Later versions withdraw the property from
# stars, zodiac and music signs; as tokens they can be searched for.
_PICTURE = (
    r"[\u00A9\u00AE\u203C\u2049\u2122\u2139\u2194-\u2199\u21A9\u21AA\u231A\u231B\u2328\u2388"
    r"\u23CF\u23E9-\u23F3\u23F8-\u23FA\u24C2\u25AA\u25AB\u25B6\u25C0\u25FB-\u25FE\u2600-\u2605"
    r"\u2607-\u2612\u2614-\u2685\u2690-\u2705\u2708-\u2712\u2714\u2716\u271D\u2721\u2728\u2733"
    r"\u2734\u2744\u2747\u274C\u274E\u2753-\u2755\u2757\u2763-\u2767\u2795-\u2797\u27A1\u27B0"
    r"\u27BF\u2934\u2935\u2B05-\u2B07\u2B1B\u2B1C\u2B50\u2B55\u3030\u303D\u3297\u3299"
    r"\U0001F000-\U0001F0FF\U0001F10D-\U0001F10F\U0001F12F\U0001F16C-\U0001F171"
    r"\U0001F17E\U0001F17F\U0001F18E\U0001F191-\U0001F19A\U0001F1AD-\U0001F1E5"
    r"\U0001F201-\U0001F20F\U0001F21A\U0001F22F\U0001F232-\U0001F23A\U0001F23C-\U0001F23F"
    r"\U0001F249-\U0001F3FA\U0001F400-\U0001F53D\U0001F546-\U0001F64F\U0001F680-\U0001F6FF"
    r"\U0001F774-\U0001F77F\U0001F7D5-\U0001F7FF\U0001F80C-\U0001F80F\U0001F848-\U0001F84F"
    r"\U0001F85A-\U0001F85F\U0001F888-\U0001F88F\U0001F8AE-\U0001F8FF\U0001F90C-\U0001F93A"
    r"\U0001F93C-\U0001F945\U0001F947-\U0001FFFD]"
)


def _unicode_word() -> regex.Pattern[str]:
    """One pattern for all kinds of words; it needs time linear in the text, whatever the text."""
    mark = r"[\p{WB=Format}\p{WB=Extend}\p{WB=ZWJ}]"
    letter = rf"[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{mark}*+"
    hebrew = rf"\p{{WB=Hebrew_Letter}}{mark}*+"
    digit = rf"[\p{{WB=Numeric}}\uFF10-\uFF19]{mark}*+"
    katakana = rf"\p{{WB=Katakana}}{mark}*+"
    joiner = rf"(?:\p{{WB=ExtendNumLet}}{mark}*+)"
    in_letters = rf"[\p{{WB=MidLetter}}\p{{WB=MidNumLet}}\p{{WB=Single_Quote}}]{mark}*+"
    in_digits = rf"[\p{{WB=MidNum}}\p{{WB=MidNumLet}}\p{{WB=Single_Quote}}]{mark}*+"
    letters = (
        rf"(?:{letter}(?:(?:{joiner}*+|{in_letters}){letter}|"
        rf"(?=['\"\p{{WB=Double_Quote}}])(?<={hebrew})"
        rf"(?:\p{{WB=Double_Quote}}{mark}*+{hebrew}|\p{{WB=Single_Quote}}{mark}*+))*)"
    )
    digits = rf"(?:{digit}(?:(?:{joiner}*+|{in_digits}){digit})*)"
    unit = rf"(?:{katakana}(?:{joiner}*+{katakana})*|(?:{digits}|{letters})+)"
    word = rf"{joiner}*+{unit}(?:{joiner}++{unit})*{joiner}*+|{joiner}++"

    extra = rf"(?:(?![\uFE0E\uFE0F]){mark})"
    emoji = rf"(?:\p{{Emoji_Modifier_Base}}{extra}*)?\p{{Emoji_Modifier}}|{_PICTURE}"
    sequence = (
        rf"(?:(?<!\u200D)\u200D++)?(?:{emoji})"
        rf"(?:{extra}*\uFE0F?\u200D(?:{emoji}))*{extra}*+\uFE0F?"
    )
    flag = rf"(?:\p{{WB=Regional_Indicator}}{mark}*+){{2}}"
    key_cap = rf"[0-9#*]{extra}*\uFE0F?\u20E3{extra}*+"
    south_east_asian = rf"(?:\p{{Line_Break=Complex_Context}}{mark}*+)+"
    single = rf"[\p{{Script=Han}}\p{{Script=Hiragana}}]{mark}*+"
    kinds = [word, sequence, flag, key_cap, south_east_asian, single]
    return regex.compile("|".join(kinds), regex.V1)


_UNICODE_WORD = _unicode_word()
_JOINERS = regex.compile(r"(?:\p{WB=ExtendNumLet}[\p{WB=Format}\p{WB=Extend}\p{WB=ZWJ}]*+)+")


def words(text: str) -> list[str]:
    """The words of a text, in order; among them runs of joiners (``___``), which are none.

    >>> words("Don't use snake_case, 3.14 or U.S.A. - 日本")
    ["Don't", 'use', 'snake_case', '3.14', 'or', 'U.S.A', '日', '本']
    """
    found: list[str] = _ASCII_WORD.findall(text) if text.isascii() else _mixed_words(text)
    if len(text) > MAX_TOKEN_LENGTH and max(map(len, found), default=0) > MAX_TOKEN_LENGTH:
        return [text[start:end] for start, end in word_spans(text)]
    return found


def _mixed_words(text: str) -> list[str]:
    """Words of a text with some characters beyond ASCII: only their chunks take the long way.

    White space ends every word, so the chunks between white space can be read by themselves.
    """
    found: list[str] = []
    position = 0
    while match := _NON_ASCII.search(text, position):
        space = max(text.rfind(" ", position, match.start()), position - 1)
        found += _ASCII_WORD.findall(text, position, space + 1)
        end = _WHITE_SPACE.search(text, match.end())
        position = end.start() if end else len(text)
        chunk = text[space + 1 : position]
        found += _chunk_words(chunk) if len(chunk) <= 64 else _UNICODE_WORD.findall(chunk)
    found += _ASCII_WORD.findall(text, position)
    return found


@lru_cache(maxsize=100_000)
def _chunk_words(chunk: str) -> tuple[str, ...]:
    return tuple(_UNICODE_WORD.findall(chunk))


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) character offsets of :func:`words`."""
    pattern = _ASCII_WORD if text.isascii() else _UNICODE_WORD
    for match in pattern.finditer(text):
        start, end = match.span()
        if end - start <= MAX_TOKEN_LENGTH:
            yield start, end
        else:
            yield from _cut(pattern, text, start, end)


def is_joiners(word: str) -> bool:
    """Whether a word has neither letter nor digit, only what joins them."""
    return not word[0].isalnum() and _JOINERS.fullmatch(word) is not None


def _cut(
    pattern: re.Pattern[str] | regex.Pattern[str], text: str, position: int, end: int
) -> Iterator[tuple[int, int]]:
    """Words of a run that is too long, each the longest that a window of the limit shows."""
    while position < end:
        match = pattern.match(text[position : min(position + MAX_TOKEN_LENGTH, end)])
        if match is None:
            position += 1
        elif is_joiners(match[0]):
            # A word starts no earlier than where the window shows what the joiners join.
            joined = _JOINERS.match(text, position, end).end()
            position = max(position + 1, joined - MAX_TOKEN_LENGTH + 1)
        else:
            yield position, position + match.end()
            position += match.end()
