"""Documents become passages that fit the strictest encoder, and what is cut is counted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from encoders.base import Document, EncoderSpec
from encoders.expression import PartExpression
from indexer.passaging import Passager
from indexer.settings import BuildSettings
from indexer.spaces import SpacePart, create_spaces


class WordReader:
    """An encoder that reads 20 words, two added ones among them."""

    spec = EncoderSpec("test", "word-reader", "open", "sum", max_length=20)
    special_token_count = 2

    def token_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]


def passager(**settings) -> Passager:
    part = SpacePart(PartExpression(1, "word-reader", None, "word-reader"), WordReader())
    return Passager({"default": (part,)}, BuildSettings(**settings))


TEXT = " ".join(f"This is sentence number {i} of many." for i in range(12))


def test_passages_fit_the_encoder_and_cover_the_text():
    splitter = passager()
    document = Document("d", TEXT, title="Two words")
    spans, passages = splitter.split([document])
    assert len(passages) == len(spans[0]) > 3
    assert all(len(p.full_text().split()) + 2 <= 20 for p in passages)
    covered = {i for span in spans[0] for i in range(span.start, span.end)}
    assert all(i in covered for i, character in enumerate(TEXT) if not character.isspace())
    assert splitter.truncated == {"default.word-reader": 0}


def beside_words(**settings) -> Passager:
    words = create_spaces({"default": "english-bm25"})["default"]
    part = SpacePart(PartExpression(1, "word-reader", None, "word-reader"), WordReader())
    return Passager({"default": (*words, part)}, BuildSettings(**settings))


def words(count: int) -> str:
    return " ".join(f"Sentence {i} here." for i in range(count // 3))


def test_a_document_of_two_windows_stays_whole_where_another_part_reads_all_of_it():
    splitter = beside_words()
    documents = [Document("s", words(36)), Document("l", words(39)), Document("t", words(36), "T")]
    spans, passages = splitter.split(documents)
    assert [len(s) for s in spans] == [1, 3, 3]
    assert passages[0].text == documents[0].text
    assert all(len(p.full_text().split()) <= 18 for p in passages[1:])
    assert splitter.truncated == {"default.word-reader": 1}


def test_it_is_split_where_that_part_is_alone_in_one_space_or_a_length_is_asked_for():
    alone = SpacePart(PartExpression(1, "word-reader", None, "word-reader"), WordReader())
    with_words = create_spaces({"default": "english-bm25"})["default"]
    several = Passager({"both": (*with_words, alone), "alone": (alone,)}, BuildSettings())
    for splitter in (several, beside_words(passage_tokens=18)):
        spans, _ = splitter.split([Document("s", words(36))])
        assert len(spans[0]) > 1
        assert not any(splitter.truncated.values())


def test_whole_documents_are_counted_as_truncated():
    splitter = passager(split=False)
    short = Document("s", "Only five words are here.")
    spans, passages = splitter.split([Document("d", TEXT), short])
    assert [len(s) for s in spans] == [1, 1]
    assert passages[0].text == TEXT
    assert splitter.truncated == {"default.word-reader": 1}


def test_encoders_without_a_limit_get_pages():
    splitter = Passager(create_spaces({"default": "english-bm25"}), BuildSettings())
    page = " ".join(f"Word {i} of a page." for i in range(100))
    book = " ".join(f"Word {i} of a book." for i in range(2000))
    spans, _ = splitter.split([Document("p", page), Document("b", book)])
    assert len(spans[0]) == 1
    assert len(spans[1]) > 10
    assert all(len(book[s.start : s.end].split()) <= 400 for s in spans[1])


@pytest.mark.parametrize("tokens", [16, 18])
def test_a_smaller_passage_can_be_asked_for(tokens):
    _, passages = passager(passage_tokens=tokens).split([Document("d", TEXT)])
    assert max(len(p.text.split()) for p in passages) <= tokens
