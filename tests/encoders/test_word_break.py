"""Word boundaries: ASCII and Unicode paths agree, spans are exact, time stays linear."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.query import word_break
from encoders.query.word_break import MAX_TOKEN_LENGTH, is_joiners, word_spans, words

ASCII_TEXT = st.text(st.sampled_from("aB1_ .:,;'\"-\n#"), max_size=40) | st.text(
    st.characters(max_codepoint=127), max_size=40
)
ANY_TEXT = st.text(max_size=40) | st.text(
    st.sampled_from("aB1_ .:,;'’\nאבカひ漢ไั์हि한é\u0301\u200d\ufe0f👨👩🏽🇩🇪ΣİK１＿"), max_size=40
)


@given(ASCII_TEXT)
def test_ascii_and_unicode_paths_agree(text: str) -> None:
    assert words(text) == word_break._UNICODE_WORD.findall(text)


@given(ANY_TEXT)
def test_chunks_between_white_space_give_the_words_of_the_whole(text: str) -> None:
    assert word_break._mixed_words(text) == word_break._UNICODE_WORD.findall(text)


@given(ANY_TEXT)
def test_spans_cover_the_words(text: str) -> None:
    spans = list(word_spans(text))
    assert [text[start:end] for start, end in spans] == words(text)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@given(ANY_TEXT.filter(bool), st.integers(1, 600))
def test_no_word_is_longer_than_the_limit(text: str, repeats: int) -> None:
    found = words(text * repeats)
    assert all(0 < len(word) <= MAX_TOKEN_LENGTH for word in found)
    assert found == [(text * repeats)[start:end] for start, end in word_spans(text * repeats)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs and the virama stay in the word
        ("日本語", ["日", "本", "語"]),
        ("カタカナ ひら", ["カタカナ", "ひ", "ら"]),
        ("ภาษาไทย ไทย", ["ภาษาไทย", "ไทย"]),
        ("한국어 검색", ["한국어", "검색"]),
        ("צה\"ל ג'ירף רח'", ['צה"ל', "ג'ירף", "רח'"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("👨\u200d👩\u200d👧👍🏽🇩🇪🇫🇷", ["👨\u200d👩\u200d👧", "👍🏽", "🇩🇪", "🇫🇷"]),
        ("", []),
        (" .,;!?-()[]{}…–", []),
    ],
)
def test_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_joiners_alone_are_told_apart() -> None:
    assert [is_joiners(word) for word in words("_ __ _a ‿ 1_")] == [True, True, False, True, False]


@pytest.mark.parametrize(
    "unit",
    ["_", "a.", "1,", "a'", "\u200d", "\u0301", "é\u200d", "👨\u200d", "#\ufe0f", 'א"', "é_"],
)
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    start = time.process_time()
    words(unit * 100_000)
    assert time.process_time() - start < 5
