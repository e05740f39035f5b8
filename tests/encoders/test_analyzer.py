"""Analyzers: tokens, spans and counts agree, and threads may share one."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.base import SparseRows
from encoders.errors import EncoderError
from encoders.query import word_analyzer
from encoders.query.analyzer import ANALYZER_NAMES, Analyzer, create_analyzer
from encoders.query.tokenizer import default_tokenizer_json

ANALYZERS = {name: create_analyzer(name) for name in ANALYZER_NAMES}
TEXTS = st.lists(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(
            ["The", "cat's", "running", "Σ", "İstanbul", "_", "日本", "[SEP]", "\ud800"]
        )
    ).map(" ".join),
    max_size=6,
)


def _as_counters(rows: SparseRows) -> list[Counter[str]]:
    assert rows.terms is not None
    bounds = rows.indptr.tolist()
    return [
        Counter(
            {
                rows.terms[d]: int(w)
                for d, w in zip(rows.dimensions[a:b], rows.weights[a:b], strict=True)
            }
        )
        for a, b in pairwise(bounds)
    ]


@pytest.mark.parametrize("analyzer", ANALYZERS.values(), ids=ANALYZERS)
@given(texts=TEXTS)
def test_counts_and_spans_are_those_of_tokens(analyzer: Analyzer, texts: list[str]) -> None:
    rows = analyzer.count_batch(texts)
    assert _as_counters(rows) == [Counter(analyzer.tokens(text)) for text in texts]
    for text in texts:
        spans = analyzer.token_spans(text)
        assert [term for term, _, _ in spans] == analyzer.tokens(text)
        assert all(0 <= start < end <= len(text) for _, start, end in spans)


@pytest.mark.parametrize("analyzer", ANALYZERS.values(), ids=ANALYZERS)
def test_rows_keep_their_contract(analyzer: Analyzer) -> None:
    rows = analyzer.count_batch(["b a c b", "", "zebra b", "..."])
    assert (rows.indptr.dtype, rows.dimensions.dtype, rows.weights.dtype) == (
        np.int64,
        np.uint32,
        np.float32,
    )
    for start, end in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        assert np.all(np.diff(rows.dimensions[start:end].astype(np.int64)) > 0)
    assert rows.terms is not None
    assert len(set(rows.terms)) == len(rows.terms) == len(np.unique(rows.dimensions))
    assert len(analyzer.count_batch([])) == 0


def test_plain_lowers_case_and_nothing_else() -> None:
    assert ANALYZERS["plain"].tokens("The Cats' running, U.S.A.") == [
        "the",
        "cats",
        "running",
        "u.s.a",
    ]


def test_lower_case_does_not_depend_on_the_neighbours() -> None:
    assert ANALYZERS["plain"].token_spans("ΑΣ İİ") == [("ασ", 0, 2), ("ii", 3, 5)]


def test_wordpiece_is_that_of_bert() -> None:
    tokens = ANALYZERS["wordpiece"].tokens("What's the weather in NY now? [MASK] 日本 \u07ff")
    assert tokens == (
        ["what", "'", "s", "the", "weather", "in", "ny", "now", "?", "[", "mask", "]", "日", "本"]
    )


def test_threads_share_an_analyzer(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("_MAX_CACHED_WORDS", "_MAX_QUERY_WORDS"):  # renew the tables all the time
        monkeypatch.setattr(word_analyzer, limit, 50)
    words = [f"running{i}ly" for i in range(400)] + ["technologies", "cats", "the"] * 20
    texts = [" ".join(words[i : i + 7]) for i in range(len(words))]
    expected = [create_analyzer("english").tokens(text) for text in texts]
    shared = create_analyzer("english")
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(shared.tokens, texts)) == expected
            counted = pool.map(lambda text: _as_counters(shared.count_batch([text]))[0], texts)
            assert list(counted) == [Counter(tokens) for tokens in expected]


def test_unknown_analyzer_names_the_choices() -> None:
    with pytest.raises(EncoderError, match=r"'klingon'.*english-all-words.*wordpiece"):
        create_analyzer("klingon")


def test_a_tokenizer_is_for_wordpiece_only() -> None:
    with pytest.raises(EncoderError, match=r"'plain' takes no tokenizer\.json"):
        create_analyzer("plain", default_tokenizer_json())
