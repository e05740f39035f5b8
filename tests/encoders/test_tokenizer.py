"""WordPiece tokenisation: equal to the full pipeline of tokenizers, with named errors."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from encoders.errors import EncoderError
from encoders.query import pretokens
from encoders.query.pretokens import splits_like_bert
from encoders.query.tokenizer import (
    WordPieceTokenizer,
    default_tokenizer_json,
    shared_tokenizer,
)

TOKENIZER = WordPieceTokenizer(default_tokenizer_json())
FULL_PIPELINE = Tokenizer.from_str(default_tokenizer_json().decode())
FULL_PIPELINE.encode_special_tokens = True

TEXT = (
    st.text(max_size=40)
    | st.text(st.characters(max_codepoint=127), max_size=40)
    | st.text(st.sampled_from("aB1_ .'é\u0301\u200d日हि\x00\x7f\t\n\u2028\xa0[MASK]"), max_size=40)
)


def word_level(**changes: object) -> dict[str, object]:
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "?": 3}, "unk_token": "?"},
        **changes,
    }


@given(TEXT)
def test_ids_are_those_of_the_full_pipeline(text: str) -> None:
    expected = FULL_PIPELINE.encode(text, add_special_tokens=False)
    assert TOKENIZER.ids(text) == expected.ids
    assert [i for i, _, _ in TOKENIZER.spans(text)] == expected.ids
    assert [(start, end) for _, start, end in TOKENIZER.spans(text)] == expected.offsets


@given(st.lists(TEXT, max_size=5))
def test_a_batch_is_its_texts(texts: list[str]) -> None:
    assert TOKENIZER.ids_batch(texts) == [TOKENIZER.ids(text) for text in texts]


def test_published_tokens() -> None:
    ids = TOKENIZER.ids("hello weather ny")
    assert ids == [7592, 4633, 6396]  # bert-base-uncased
    assert TOKENIZER.vocab_size == 30_522
    assert TOKENIZER.special_ids == {0, 100, 101, 102, 103}


def test_no_limit_and_no_padding() -> None:
    content = json.loads(default_tokenizer_json())
    content["truncation"] = {
        "direction": "Right",
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    content["padding"] = {
        "strategy": {"Fixed": 8},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    tokenizer = WordPieceTokenizer(json.dumps(content).encode())
    assert len(tokenizer.ids("é word " * 20)) == 40
    assert len(tokenizer.ids("word")) == 1


def test_special_tokens_in_a_text_are_text() -> None:
    assert not TOKENIZER.special_ids & set(TOKENIZER.ids("[CLS] a [MASK] é[SEP]"))


def test_half_a_surrogate_pair_is_no_character() -> None:
    assert TOKENIZER.ids("a \ud800b é\udfff") == TOKENIZER.ids("a b é")
    assert [span[1:] for span in TOKENIZER.spans("a \ud800b")] == [(0, 1), (3, 4)]


def test_tokens_and_ids_are_inverse() -> None:
    assert all(TOKENIZER.id(TOKENIZER.token(i)) == i for i in range(0, 30_522, 97))
    assert TOKENIZER.tokens()[7592] == "hello"
    assert TOKENIZER.id("no such token") is None
    for token_id in (-1, 30_522):
        with pytest.raises(EncoderError, match=f"no token id {token_id}; ids run from 0 to 30521"):
            TOKENIZER.token(token_id)


def test_the_cache_starts_anew_when_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretokens, "_MAX_CACHED", 3)
    tokenizer = WordPieceTokenizer(default_tokenizer_json())
    text = "some words é that fill a small cache"
    assert [tokenizer.ids(text) for _ in range(3)] == [TOKENIZER.ids(text)] * 3


def test_other_tokenizers_take_the_full_pipeline() -> None:
    content = json.dumps(word_level()).encode()
    assert not splits_like_bert(content)
    tokenizer = WordPieceTokenizer(content)
    assert tokenizer.ids_batch(["a b", ""]) == [[0, 3], []]
    assert tokenizer.tokens() == ["a", "", "", "?"]
    with pytest.raises(EncoderError, match="no token id 1"):
        tokenizer.token(1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b"\xff\xfe",
        b'{"version": "1.0"',
        b"[CLS]\n[SEP]\n",
        json.dumps(word_level(model={"type": "Telepathy"})).encode(),
        json.dumps(word_level(model={"type": "WordLevel", "vocab": {}, "unk_token": "?"})).encode(),
    ],
)
def test_malformed_content_is_a_named_error(content: bytes) -> None:
    with pytest.raises(EncoderError, match=r"^tokenizer\.json .*copy"):
        WordPieceTokenizer(content)


def test_contents_that_differ_in_padding_share_a_tokenizer():
    content = json.loads(default_tokenizer_json())
    truncation = {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    other = json.dumps({**content, "truncation": truncation}).encode()
    shared = shared_tokenizer(default_tokenizer_json())
    assert shared_tokenizer(other) is shared
    text = "sparse retrieval with words of a vocabulary, and more of them than five"
    assert shared.ids(text) == WordPieceTokenizer(default_tokenizer_json()).ids(text)
    content["model"]["vocab"] = {"[UNK]": 0, "a": 1}
    content["added_tokens"] = []
    assert shared_tokenizer(json.dumps(content).encode()) is not shared


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'{"model": 3}', b"\xff"])
def test_contents_that_are_no_tokenizer_are_refused(content):
    with pytest.raises(EncoderError, match=r"tokenizer\.json"):
        shared_tokenizer(content)


def test_what_is_done_with_a_text_s_tokens_stays_outside():
    tokenizer = WordPieceTokenizer(default_tokenizer_json())
    first = tokenizer.ids("red planet")
    first.append(-1)
    assert tokenizer.ids("red planet") == first[:-1]
    assert tokenizer.ids("red") != tokenizer.ids("planet")
