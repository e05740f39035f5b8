"""Pairs of words: which there are, where they stand, and what they add to a ranking."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from encoders.base import Document
from encoders.query import bigram_analyzer
from encoders.query.analyzer import create_analyzer
from encoders.training.lexical import LexicalBase
from indexer.builder import build
from retriever.searcher import open_index

WORDS = create_analyzer("english")
PAIRS = create_analyzer("english-bigrams")


def bucket_of(first: str, second: str) -> str:
    """The formula that the module gives, in plain integers."""
    a, b = (xxhash.xxh3_64_intdigest(term.encode()) for term in (first, second))
    return f"bigram-{(0x9E3779B97F4A7C15 * a + b) % 2**64 >> 46:05x}"


@given(st.lists(st.sampled_from(["solar", "panels", "the", "of", "costs", "."]), max_size=12))
def test_each_word_and_the_next_are_a_pair(words: list[str]) -> None:
    text = " ".join(words)
    expected = [bucket_of(a, b) for a, b in pairwise(WORDS.tokens(text))]
    assert PAIRS.tokens(text) == expected
    assert sorted(PAIRS.count_batch([text]).terms or ()) == sorted(set(expected))


def test_order_counts_and_stop_words_do_not() -> None:
    assert PAIRS.tokens("state of the art") == PAIRS.tokens("States: art")
    assert PAIRS.tokens("art state") != PAIRS.tokens("state art")
    assert PAIRS.tokens("art") == PAIRS.tokens("the") == []


def test_a_pair_spans_what_is_left_out_between() -> None:
    text = "A state of the art panel."
    assert [text[a:b] for _, a, b in PAIRS.token_spans(text)] == ["state of the art", "art panel"]


def test_what_is_kept_of_queries_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(bigram_analyzer, "_MAX_CACHED_PAIRS", 5)
    analyzer = bigram_analyzer.BigramAnalyzer("pairs", WORDS)
    for number in range(20):
        text = f"word{number} other{number} third{number}"
        assert analyzer.tokens(text) == PAIRS.tokens(text)
        assert len(analyzer._pairs) <= 8


def test_a_phrase_wins_over_its_words_apart(tmp_path: Path) -> None:
    documents = [
        Document("apart", "solar roof panel and cost"),
        Document("phrase", "roof cost and solar panel"),
        Document("other", "a solar roof"),
    ]
    expression = "english-bm25 + 0.3*english-bigrams-bm25"
    build(documents, tmp_path / "x.winnow", expression)
    searcher = open_index(tmp_path / "x.winnow")
    query = "solar panels"
    without = searcher.search(query, part_weights={"english-bigrams-bm25": 0}).hits
    assert without[0].score == without[1].score
    hits = searcher.search(query, explain=True).hits
    assert [hit.doc_id for hit in hits] == ["phrase", "apart", "other"]
    [pair] = [c for c in hits[0].explanation or () if c.part == "english-bigrams-bm25"]
    assert (pair.term, pair.word) == (bucket_of("solar", "panel"), "solar panel")
    # The same sum as training adds to the learned part's score, but for 8-bit impacts.
    base = LexicalBase([document.full_text() for document in documents], expression)
    [scores] = (base.queries([query]) @ base.documents.T).toarray()
    found = {hit.doc_id: hit.score for hit in hits}
    for document, score in zip(documents, scores, strict=True):
        assert abs(found[document.doc_id] - score) < 0.02 * score
