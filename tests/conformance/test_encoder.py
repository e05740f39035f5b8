"""What every encoder must do, ours or a plug-in's; ``docs/encoders.md`` explains the contract.

pytest tests/conformance --encoder my-encoder:ARGUMENT
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.base import Document, DocumentEncoder, EncoderSpec, SparseRows, StatisticalEncoder
from encoders.query.analyzer import Analyzer, create_analyzer
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.registry import create_encoder

LAST_BITS = 2e-5
"""By how much a weight may depend on the other documents of a call (products in float32)."""

STRANGE_TEXTS = (
    "\0",
    "red\0planet",
    "\x07\x1b[31m red planet \x7f\x85",
    "\ufeffred planet",
    "👩‍🚀🚀 rocket 🇩🇪 ❤️",
    "مرحبا بالعالم",
    "שלום עולם",
    "\u202eplanet red\u202c",
    "中文字符測試 日本語テキスト 한국어",
    "e\u0301te\u0301 \u0301\u0301\u0301",
    "[CLS] [MASK] [SEP] <s> </s>",
    "\ud83d half of a pair",
    "\U0010ffff\ufffe\ufdd0",
    "x" * 100_000,
    "?!.,'-" * 50,
)


def documents(texts: Sequence[str]) -> list[Document]:
    return [Document(f"d{number}", text) for number, text in enumerate(texts)]


def check_rows(rows: SparseRows, count: int, spec: EncoderSpec) -> None:
    """The promises of SparseRows, for ``count`` documents."""
    assert len(rows) == count
    assert rows.indptr.dtype == np.int64
    assert rows.dimensions.dtype == np.uint32
    assert rows.weights.dtype == np.float32
    assert rows.indptr[0] == 0
    assert (np.diff(rows.indptr) >= 0).all()
    assert rows.indptr[-1] == len(rows.dimensions) == len(rows.weights)
    assert np.isfinite(rows.weights).all()
    assert (rows.weights > 0).all()
    for start, end in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        assert (np.diff(rows.dimensions[start:end].astype(np.int64)) > 0).all()
    if spec.vocabulary == "open":
        assert rows.terms is not None
        assert len(set(rows.terms)) == len(rows.terms)
        assert all(isinstance(term, str) and term for term in rows.terms)
        assert rows.dimensions.max(initial=0) < max(1, len(rows.terms))
    else:
        assert rows.terms is None
        assert rows.dimensions.max(initial=0) < spec.vocabulary


def by_token(rows: SparseRows) -> list[dict[str | int, float]]:
    """Each row as a mapping, which does not depend on how a batch numbers its terms."""
    keys = rows.dimensions.tolist()
    if rows.terms is not None:
        keys = [rows.terms[key] for key in keys]
    pairs = list(zip(keys, rows.weights.tolist(), strict=True))
    return [dict(pairs[a:b]) for a, b in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)]


def check_nearly_equal(rows: SparseRows, others: SparseRows) -> None:
    """Equal but for the last bits of a weight, or for a weight that is next to nothing."""
    for row, other in zip(by_token(rows), by_token(others), strict=True):
        scale = max([1.0, *row.values()])
        for key in row.keys() | other.keys():
            assert abs(row.get(key, 0.0) - other.get(key, 0.0)) <= LAST_BITS * scale, key


def repeated(
    once: dict[str | int, float], twice: dict[str | int, float], times: int
) -> dict[str | int, float]:
    """Counts of a text that stands there several times: each time adds what the second did.

    That is what the first one had, and, where tokens are pairs of words, the pairs between two.
    """
    first = {key: once.get(key, 0.0) for key in twice}
    return {key: first[key] + (times - 1) * (twice[key] - first[key]) for key in twice}


def check_equal(rows: SparseRows, others: SparseRows) -> None:
    assert by_token(rows) == by_token(others)


def test_it_is_a_document_encoder(encoder: DocumentEncoder) -> None:
    assert isinstance(encoder, DocumentEncoder)
    spec = encoder.spec
    assert spec.kind
    assert spec.name
    assert spec.vocabulary == "open" or spec.vocabulary > 0
    assert spec.aggregation in ("binary", "sum")
    assert spec.max_length is None or spec.max_length > 0
    assert spec.max_weight is None or 0 < spec.max_weight < float("inf")


def test_the_spec_survives_json_and_does_not_change(
    encoder: DocumentEncoder, sample: Sequence[Document]
) -> None:
    before = encoder.spec
    assert EncoderSpec(**json.loads(json.dumps(dataclasses.asdict(before)))) == before
    encoder.encode_documents(sample)
    encoder.count_tokens(sample)
    encoder.query_side()
    assert encoder.spec == before


def test_rows_are_valid(encoder: DocumentEncoder, sample: Sequence[Document]) -> None:
    rows = encoder.encode_documents(sample)
    check_rows(rows, len(sample), encoder.spec)
    assert rows.nnz > 0
    if encoder.spec.max_weight is not None:
        assert rows.weights.max() <= encoder.spec.max_weight * (1 + 1e-6)


def test_counts_are_whole_numbers(encoder: DocumentEncoder, sample: Sequence[Document]) -> None:
    counts = encoder.count_tokens(sample)
    check_rows(counts, len(sample), encoder.spec)
    assert (counts.weights >= 1).all()
    assert (counts.weights == np.round(counts.weights)).all()


def test_repeated_tokens_are_counted(encoder: DocumentEncoder) -> None:
    texts = ["planet " * times for times in (1, 2, 3, 50)]
    once, twice, thrice, often = by_token(encoder.count_tokens(documents(texts)))
    assert twice  # A single word may be none, where tokens are pairs of words.
    assert thrice == repeated(once, twice, 3)
    assert often == repeated(once, twice, 50)
    assert not once or twice == {key: 2 * count for key, count in once.items()}


def test_the_same_call_gives_the_same_bits(
    encoder: DocumentEncoder, sample: Sequence[Document]
) -> None:
    check_equal(encoder.encode_documents(sample), encoder.encode_documents(sample))
    check_equal(encoder.count_tokens(sample), encoder.count_tokens(sample))


def test_rows_do_not_depend_on_the_batch(
    encoder: DocumentEncoder, sample: Sequence[Document]
) -> None:
    together = encoder.encode_documents(sample)
    counts = encoder.count_tokens(sample)
    for number, document in enumerate(sample):
        check_nearly_equal(encoder.encode_documents([document]), row(together, number))
        check_equal(encoder.count_tokens([document]), row(counts, number))
    longer = [*documents(["planet " * 400]), *sample]
    check_nearly_equal(together, rest(encoder.encode_documents(longer)))


def test_rows_are_in_the_order_of_the_documents(
    encoder: DocumentEncoder, sample: Sequence[Document]
) -> None:
    forwards = encoder.encode_documents(sample)
    backwards = encoder.encode_documents(sample[::-1])
    for number in range(len(sample)):
        check_nearly_equal(row(forwards, number), row(backwards, -1 - number))


def test_an_earlier_batch_leaves_no_trace(
    encoder: DocumentEncoder, sample: Sequence[Document]
) -> None:
    before = encoder.encode_documents(sample)
    encoder.encode_documents(documents(["wholly other words, zebra quagga okapi " * 30, ""]))
    check_equal(before, encoder.encode_documents(sample))


def test_ids_and_metadata_do_not_matter(
    encoder: DocumentEncoder, sample: Sequence[Document]
) -> None:
    renamed = [
        dataclasses.replace(document, doc_id=f"planet {number}", metadata={"year": number})
        for number, document in enumerate(sample)
    ]
    check_equal(encoder.encode_documents(sample), encoder.encode_documents(renamed))


def test_no_documents(encoder: DocumentEncoder) -> None:
    check_rows(encoder.encode_documents([]), 0, encoder.spec)
    check_rows(encoder.count_tokens([]), 0, encoder.spec)


def test_empty_documents_have_rows(encoder: DocumentEncoder) -> None:
    empty = documents(["", " ", "\n\t\r\n", "red planet", ""])
    rows = encoder.encode_documents(empty)
    check_rows(rows, len(empty), encoder.spec)
    filled = by_token(rows)
    assert filled[0] == filled[1] == filled[2] == filled[4]
    assert filled[3]
    counts = encoder.count_tokens(empty)
    check_rows(counts, len(empty), encoder.spec)
    assert [bool(counted) for counted in by_token(counts)] == [False, False, False, True, False]


def test_a_title_alone_is_read(encoder: DocumentEncoder) -> None:
    nothing, titled = by_token(
        encoder.encode_documents([Document("a"), Document("b", title="red planet")])
    )
    assert titled
    assert titled != nothing
    joined = [Document("1", "red planet", title="mars"), Document("2", "mars red planet")]
    first, second = by_token(encoder.count_tokens(joined))
    assert first == second


def test_a_document_of_100_000_tokens(encoder: DocumentEncoder) -> None:
    long = [Document("long", "red planet " * 50_000), Document("short", "red planet")]
    rows = encoder.encode_documents(long)
    check_rows(rows, 2, encoder.spec)
    assert all(by_token(rows))
    if encoder.spec.max_weight is not None:
        assert rows.weights.max() <= encoder.spec.max_weight * (1 + 1e-6)
    twice = Document("twice", "red planet red planet")
    whole, one, two = by_token(encoder.count_tokens([*long, twice]))
    assert whole == repeated(one, two, 50_000)


@pytest.mark.parametrize("text", STRANGE_TEXTS, ids=lambda text: ascii(text[:12]))
def test_strange_characters_give_valid_rows(encoder: DocumentEncoder, text: str) -> None:
    pair = [Document("strange", text, title=text), Document("plain", "red planet")]
    rows = encoder.encode_documents(pair)
    check_rows(rows, 2, encoder.spec)
    check_nearly_equal(row(rows, 1), encoder.encode_documents(pair[1:]))
    counts = encoder.count_tokens(pair)
    check_rows(counts, 2, encoder.spec)
    check_query_side(encoder, text)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(st.text(max_size=40), max_size=4))
def test_any_text_gives_valid_rows(encoder: DocumentEncoder, texts: list[str]) -> None:
    check_rows(encoder.encode_documents(documents(texts)), len(texts), encoder.spec)
    check_rows(encoder.count_tokens(documents(texts)), len(texts), encoder.spec)
    for text in texts:
        check_query_side(encoder, text)


def test_queries_have_the_tokens_that_documents_count(
    encoder: DocumentEncoder, sample: Sequence[Document]
) -> None:
    for document in sample:
        check_query_side(encoder, document.full_text())


def check_query_side(encoder: DocumentEncoder, text: str) -> None:
    """A query's tokens, as the index finds them without the encoder, are those counted."""
    side = encoder.query_side()
    [counted] = by_token(encoder.count_tokens([Document("d", text)]))
    tokens: Counter[str | int]
    if encoder.spec.vocabulary == "open":
        tokens = Counter(analyzer_of(side.analyzer, side.tokenizer_json).tokens(text))
    else:
        assert side.tokenizer_json is not None
        tokenizer = tokenizer_of(side.tokenizer_json)
        tokens = Counter(i for i in tokenizer.ids(text) if i not in tokenizer.special_ids)
    assert tokens == counted


def test_the_published_table_fits_the_vocabulary(encoder: DocumentEncoder) -> None:
    table = encoder.query_side().table
    if table is None:
        return
    assert encoder.spec.vocabulary == len(table)
    assert table.dtype == np.float32
    assert np.isfinite(table).all()
    assert (table >= 0).all()
    assert (table > 0).any()


def test_its_spec_makes_it_again(
    encoder: DocumentEncoder, made: object, sample: Sequence[Document]
) -> None:
    """An index opened for adding documents makes its encoders from what the manifest records."""
    spec, argument = encoder.spec, made.argument  # type: ignore[attr-defined]
    recorded = json.loads(json.dumps(dict(spec.parameters)))
    again = create_encoder(spec.name, argument, **recorded)
    assert again.spec == spec
    check_equal(encoder.encode_documents(sample), again.encode_documents(sample))
    first, second = encoder.query_side(), again.query_side()
    assert (first.analyzer, first.tokenizer_json) == (second.analyzer, second.tokenizer_json)
    np.testing.assert_array_equal(first.table, second.table)


def test_lengths_say_what_is_truncated(encoder: DocumentEncoder) -> None:
    """An encoder with a limit counts its own tokens, so that passages are cut to fit."""
    limit = encoder.spec.max_length
    if limit is None:
        return
    short, long = encoder.token_lengths(["planet", "planet " * limit])  # type: ignore[attr-defined]
    assert 0 < short <= limit < long


def test_weights_follow_from_counts(encoder: DocumentEncoder, sample: Sequence[Document]) -> None:
    """For encoders that a collection's statistics are fitted to."""
    if isinstance(encoder, StatisticalEncoder):
        check_equal(encoder.weigh(encoder.count_tokens(sample)), encoder.encode_documents(sample))


def row(rows: SparseRows, number: int) -> SparseRows:
    start, end = rows.indptr[number % len(rows)], rows.indptr[number % len(rows) + 1]
    indptr = np.array([0, end - start], dtype=np.int64)
    return SparseRows(indptr, rows.dimensions[start:end], rows.weights[start:end], rows.terms)


def rest(rows: SparseRows) -> SparseRows:
    """All rows but the first."""
    start = rows.indptr[1]
    return SparseRows(
        rows.indptr[1:] - start, rows.dimensions[start:], rows.weights[start:], rows.terms
    )


@lru_cache
def analyzer_of(name: str, tokenizer_json: bytes | None) -> Analyzer:
    return create_analyzer(name, tokenizer_json)


@lru_cache
def tokenizer_of(tokenizer_json: bytes) -> WordPieceTokenizer:
    return WordPieceTokenizer(tokenizer_json)
