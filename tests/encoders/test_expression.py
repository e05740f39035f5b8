"""Encoder expressions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.errors import ExpressionError
from encoders.expression import PartExpression, format_expression, parse_expression

PARTS = st.lists(
    st.builds(
        PartExpression,
        weight=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        name=st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,8}", fullmatch=True),
        argument=st.none()
        | st.text(min_size=1)
        | st.text(st.sampled_from("a+ ~\"'\\:*\n"), min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=4,
)


def read(text: str) -> list[tuple[float, str, str | None]]:
    return [(part.weight, part.name, part.argument) for part in parse_expression(text)]


@given(PARTS)
def test_what_is_written_is_read_again(parts: list[PartExpression]) -> None:
    text = format_expression(tuple(parts))
    parsed = parse_expression(text)
    assert [(p.weight, p.name, p.argument) for p in parsed] == [
        (p.weight, p.name, p.argument) for p in parts
    ]
    assert parse_expression(format_expression(parsed)) == parsed
    assert len({part.part_name for part in parsed}) == len(parts)


@given(st.text(st.sampled_from("ab1.*:+ \"'~\\-e"), max_size=20) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    problem = None
    try:
        assert parse_expression(text)
    except ExpressionError as error:
        problem = str(error)
    assert problem is None or "english-bm25 + 0.5*splade:DIR" in problem


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("english-bm25", [(1, "english-bm25", None)]),
        (" english-bm25+.5 * splade:DIR ", [(1, "english-bm25", None), (0.5, "splade", "DIR")]),
        ("2e-1*bm25:k1=1.2,b=0.75 + a", [(0.2, "bm25", "k1=1.2,b=0.75"), (1, "a", None)]),
        ("splade:my models/v2 + bm25", [(1, "splade", "my models/v2"), (1, "bm25", None)]),
        ("1e+2*splade-lite+5*x:a", [(100, "splade-lite", None), (5, "x", "a")]),
        ("splade:c++ models/a+b", [(1, "splade", "c++ models/a+b")]),
        ("splade:a*b: c", [(1, "splade", "a*b: c")]),
        ('splade:"a + b" + bm25', [(1, "splade", "a + b"), (1, "bm25", None)]),
        (r"splade:'it\'s \\ here'", [(1, "splade", r"it's \ here")]),
        ('splade:"~/x"', [(1, "splade", "~/x")]),
    ],
)
def test_grammar(text: str, parts: list[tuple[float, str, str | None]]) -> None:
    assert read(text) == parts


def test_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("splade:~/model") == [(1, "splade", str(tmp_path / "model"))]
    with pytest.raises(ExpressionError, match="no home directory"):
        parse_expression("splade:~nobody-of-this-name/model")


def test_part_names_are_unique() -> None:
    parts = parse_expression("splade:A + splade:B + splade-2:C + splade:D")
    assert [part.part_name for part in parts] == ["splade", "splade-3", "splade-2", "splade-4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the name of an encoder at position 1, found the end"),
        ("   ", "expected the name of an encoder at position 4"),
        ("bm25 +", "expected the name of an encoder at position 7"),
        ("+ bm25", "expected the name of an encoder at position 1, found '+ bm25'"),
        ("bm25 splade", "expected '+' and another part, or the end at position 6"),
        ("splade:", "expected an argument after ':' at position 8"),
        ("splade: + bm25", "expected an argument after ':' at position 9"),
        ('splade:""', "expected an argument after ':' at position 8"),
        ('splade:"abc', "the quote is not closed at position 8"),
        ('splade:"a" b', "expected '+' and another part, or the end at position 12"),
        ("0*splade:A", "the weight must be finite and above 0, got 0 at position 1"),
        ("bm25 + -1*splade:A", "above 0, got -1 at position 8"),
        ("inf*splade:A", "above 0, got inf"),
        ("nan*splade:A", "above 0, got nan"),
        ("1e999*splade:A", "above 0, got 1e999"),
        ("half*splade:A", "the weight 'half' is not a number at position 1"),
        ("0.5 splade", "expected the name of an encoder at position 1"),
    ],
)
def test_errors_name_the_position(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(message)):
        parse_expression(text)
