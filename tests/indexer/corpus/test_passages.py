from __future__ import annotations

import itertools
import re
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.base import Document
from indexer.corpus.headings import find_headings
from indexer.corpus.passages import PassageSpan, passage_document, split_passages
from indexer.corpus.sentences import split_sentences


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def count_pieces(texts: Sequence[str]) -> list[int]:
    """A token per three characters of a word, as word pieces would."""
    return [sum(-(-len(word) // 3) for word in text.split()) for text in texts]


def count_characters(texts: Sequence[str]) -> list[int]:
    return [sum(map(len, text.split())) for text in texts]


def never_called(texts: Sequence[str]) -> list[int]:
    raise AssertionError("a short text is counted")


def texts_of(text: str, spans: Sequence[PassageSpan]) -> list[str]:
    return [passage_document(Document("d", text), span).text for span in spans]


def sentences(count: int, words: int = 5) -> str:
    return " ".join(f"S{n} " + "word " * (words - 2) + "end." for n in range(count))


def test_short_text_is_one_passage_without_counting() -> None:
    for text in ("", " \n", "short", "x" * 20):
        assert split_passages(text, max_tokens=20, count_tokens=never_called) == [
            PassageSpan(0, len(text))
        ]


def test_text_that_fits_is_one_passage() -> None:
    text = "  # Heading\n\n" + sentences(4) + "\n"
    whole = [PassageSpan(0, len(text))]
    assert split_passages(text, max_tokens=22, count_tokens=count_words, slack=1.0) == whole
    assert len(split_passages(text, max_tokens=21, count_tokens=count_words, slack=1.0)) > 1
    assert split_passages(text, max_tokens=15, count_tokens=count_words) == whole
    assert len(split_passages(text, max_tokens=14, count_tokens=count_words)) > 1


def test_windows_hold_whole_sentences_and_overlap() -> None:
    text = sentences(30)
    spans = split_passages(text, max_tokens=40, count_tokens=count_words)
    windows = texts_of(text, spans)
    expected = [(0, 8), (7, 15), (14, 22), (21, 26), (25, 30)]
    assert [re.findall(r"S\d+", window) for window in windows] == [
        [f"S{n}" for n in range(first, stop)] for first, stop in expected
    ]
    assert all(window.endswith("end.") for window in windows)


def test_long_sentences_do_not_overlap() -> None:
    text = sentences(9, words=15)
    spans = split_passages(text, max_tokens=40, count_tokens=count_words)
    assert [span.start for span in spans[1:]] == [span.end + 1 for span in spans[:-1]]


def test_no_overlap_on_request() -> None:
    text = sentences(30)
    spans = split_passages(text, max_tokens=40, count_tokens=count_words, overlap_sentences=0)
    assert sum(len(window.split()) for window in texts_of(text, spans)) == 150


@pytest.mark.parametrize(("count", "windows"), [(9, [25, 20]), (12, [30, 30]), (13, [40, 25])])
def test_remnant_is_shared_evenly(count: int, windows: list[int]) -> None:
    text = sentences(count)
    spans = split_passages(
        text, max_tokens=40, count_tokens=count_words, overlap_sentences=0, slack=1.0
    )
    assert count_words(texts_of(text, spans)) == windows


def test_sections_begin_passages_and_short_ones_share_them() -> None:
    text = "\n\n".join(
        f"## Part {name}\n\n{sentences(count)}"
        for name, count in {"A": 2, "B": 2, "C": 4, "D": 2}.items()
    )
    spans = split_passages(text, max_tokens=30, count_tokens=count_words)
    assert [re.findall(r"Part (\w)", window) for window in texts_of(text, spans)] == [
        ["A", "B"],
        ["C"],
        ["D"],
    ]
    assert all(span.heading_end == 0 for span in spans)


def test_heading_is_repeated_in_windows_behind_it() -> None:
    text = f"Preface.\n\n# Book\n\nPart one\n--------\n{sentences(30)}\n"
    spans = split_passages(text, max_tokens=40, count_tokens=count_words)
    preface, first, *others = spans
    assert texts_of(text, [preface]) == ["Preface."]
    assert texts_of(text, [first])[0].startswith("# Book\n\nPart one\n--------\nS0 ")
    assert len(others) >= 3
    for window in texts_of(text, others):
        assert window.startswith("Part one\nS")
        assert len(window.split()) <= 40


def test_long_heading_is_not_repeated() -> None:
    text = f"# {'long ' * 12}\n\n{sentences(30)}"
    spans = split_passages(text, max_tokens=40, count_tokens=count_words)
    assert {(span.heading_start, span.heading_end) for span in spans} == {(0, 0)}


def test_long_sentence_is_cut_between_lines_else_words() -> None:
    lines = "\n".join(f"row {n} of a table" for n in range(40))
    for window in texts_of(lines, split_passages(lines, max_tokens=12, count_tokens=count_words)):
        assert re.fullmatch(r"(row \d+ of a table\n?)+", window)
    line = " ".join(f"w{n}" for n in range(100))
    spans = split_passages(line, max_tokens=30, count_tokens=count_words)
    assert " ".join(texts_of(line, spans)) == line
    assert len(spans) == 4


def test_long_word_is_cut() -> None:
    text = "a " + "x" * 1000 + " b"
    spans = split_passages(text, max_tokens=10, count_tokens=count_pieces)
    assert max(count_pieces(texts_of(text, spans))) <= 10
    assert len(spans) < 60
    whole = split_passages(text, max_tokens=2, count_tokens=count_words)
    assert "x" * 1000 in texts_of(text, whole)[0].split()


def test_characters_of_several_tokens() -> None:
    def count_bytes(texts: Sequence[str]) -> list[int]:
        return [len(text.replace(" ", "").encode()) for text in texts]

    text = "é" * 50 + " " + "😀" * 3
    spans = split_passages(text, max_tokens=8, count_tokens=count_bytes)
    assert max(count_bytes(texts_of(text, spans))) <= 8


def test_bad_limit() -> None:
    with pytest.raises(ValueError, match="max_tokens must be at least 1"):
        split_passages("x", max_tokens=0, count_tokens=count_words)


def test_passage_document_keeps_all_but_the_text() -> None:
    document = Document("d", "Head\n\nbody text", "Title", {"year": 1})
    assert passage_document(document, PassageSpan(0, 15)) is document
    assert passage_document(document, PassageSpan(6, 10)) == Document(
        "d", "body", "Title", {"year": 1}
    )
    assert passage_document(document, PassageSpan(11, 15, 0, 4)).text == "Head\ntext"


pieces = st.sampled_from(
    [
        *("word", "x" * 30, "Sentence one.", "Why?! ", "Dr. No", "e.g. ", "。", "你好吗？", "…"),
        *(
            "# Head\n",
            "\n## Sub\n\n",
            "Title\n=====\n",
            "\n---\n",
            "```\n",
            "- item\n",
            "1. item\n",
        ),
        *(" ", "\n", "\n\n", "\t", "\u2028", "\x1c", "\0", "😀", "#", "|a|b|\n"),
    ]
)
long_texts = st.lists(pieces | st.text(max_size=6), max_size=60).map(" ".join) | st.lists(
    pieces, max_size=60
).map("".join)


@settings(max_examples=400, deadline=None)
@given(
    long_texts,
    st.integers(1, 25),
    st.sampled_from([count_words, count_pieces, count_characters]),
    st.integers(0, 3),
    st.sampled_from([1.0, 1.5, 2.0]),
)
def test_passages_cover_fit_and_ascend(
    text: str, max_tokens: int, count: object, overlap: int, slack: float
) -> None:
    options = {"max_tokens": max_tokens, "overlap_sentences": overlap, "slack": slack}
    spans = split_passages(text, count_tokens=count, **options)  # type: ignore[arg-type]
    assert spans == split_passages(text, count_tokens=count, **options)  # type: ignore[arg-type]
    covered = bytearray(len(text))
    for span in spans:
        assert 0 <= span.heading_start <= span.heading_end <= len(text)
        assert span.heading_end == 0 or span.heading_end <= span.start
        covered[span.start : span.end] = b"\1" * (span.end - span.start)
    assert all(done or character.isspace() for done, character in zip(covered, text, strict=True))
    assert all(a.start < b.start and a.end < b.end for a, b in itertools.pairwise(spans))
    counts = count(texts_of(text, spans))  # type: ignore[operator]
    # No character takes more than one token here, so that every passage can be made to fit.
    assert max(counts) <= max_tokens * (slack if len(spans) == 1 else 1)
    if count([text])[0] <= slack * max_tokens:  # type: ignore[operator]
        assert spans == [PassageSpan(0, len(text))]
    words = [match.span() for match in re.finditer(r"\S+", text)]
    cuts = {edge for span in spans for edge in (span.start, span.end)}
    for start, end in words:
        if count([text[start:end]])[0] <= max_tokens // 2:  # type: ignore[operator]
            inside = {cut for cut in cuts if start < cut < end}
            # Only a sentence mark without a space behind it (。) may end within a word.
            assert all(text[cut - 1] in "。？" for cut in inside)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000_000,
        "." * 3_000_000,
        "\n" * 5_000_000 + "x" + " " * 5_000_000 + "y",
        ". " * 300_000,
        "#" * 5_000_000 + "# a\n" * 100_000,
        sentences(20_000),
        "word " * 200_000,
    ],
    ids=["one word", "dots", "white space", "dot words", "hashes", "sentences", "words"],
)
def test_time_is_linear(text: str) -> None:
    began = time.process_time()
    spans = split_passages(text, max_tokens=256, count_tokens=count_pieces)
    assert time.process_time() - began < 15
    assert spans[-1].end >= len(text.rstrip())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "No." Then left.', ['He said "No."', "Then left."]),
        ("See Fig. 3 and e.g. J. Smith et al. for 3.14 of it.", None),
        ("lower case . another one . end", ["lower case .", "another one .", "end"]),
        ("first part\n\nsecond part", ["first part", "second part"]),
        ("list:\n- one\n- two", ["list:", "- one", "- two"]),
        ("你好。再见！好", ["你好。", "再见！", "好"]),
        (" . ", ["."]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str] | None) -> None:
    found = [text[start:end] for start, end in split_sentences(text)]
    assert found == ([text] if expected is None else expected)


def test_headings() -> None:
    text = (
        "---\ntitle: no\n---\n# One #\n\n####### no\n#no\n```\n# no\n```\n   ## Two\n\n"
        "Three\n===\n\nlong paragraph\nno\n---\n\na | b\n--- | ---\n\n    # code\n######\n"
    )
    found = [text[h.title_start : h.title_end] for h in find_headings(text)]
    assert found == ["One", "Two", "Three"]
