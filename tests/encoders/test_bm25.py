"""BM25 as impacts."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.base import CorpusStatistics, Document, DocumentEncoder, StatisticalEncoder
from encoders.bm25 import BM25Encoder, create
from encoders.errors import EncoderError
from encoders.query.tokenizer import default_tokenizer_json

NAMES = ["english-bm25", "english-all-words-bm25", "plain-bm25", "wordpiece-bm25"]
DOCUMENTS = [
    Document("d1", "The quick brown fox jumps over the lazy dog. The fox!", title="Foxes"),
    Document("d2", ""),
    Document("d3", title="Dogs only"),
]


def fitted(name: str, argument: str | None = None, average_length: float = 5.5) -> BM25Encoder:
    return create(name, argument).fit(CorpusStatistics(2, int(2 * average_length)))


@given(
    text=st.text(st.sampled_from("abc "), max_size=60),
    k1=st.floats(0, 1000),
    b=st.floats(0, 1),
    average_length=st.floats(0.01, 1e6),
)
def test_weights_follow_the_formula(text: str, k1: float, b: float, average_length: float) -> None:
    encoder = create("plain-bm25", k1=k1, b=b, average_length=average_length)
    rows = encoder.encode_documents([Document("d", text)])
    counts = Counter(text.split())
    length = sum(counts.values())
    expected = {
        term: tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / average_length))
        for term, tf in counts.items()
    }
    assert rows.terms is not None
    weights = dict(zip(rows.terms, rows.weights.tolist(), strict=True))
    assert weights == pytest.approx(expected, rel=1e-6)
    assert all(0 < weight <= np.float32(k1 + 1) for weight in weights.values())


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_documents(name: str) -> None:
    rows = fitted(name).encode_documents(DOCUMENTS)
    assert len(rows) == 3
    assert rows.indptr[1] == rows.indptr[2]  # an empty document has an empty row
    assert rows.weights.dtype == np.float32
    assert rows.nnz > 5


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_statistical_encoder(name: str) -> None:
    encoder = create(name)
    assert isinstance(encoder, DocumentEncoder)
    assert isinstance(encoder, StatisticalEncoder)
    spec = fitted(name).spec
    assert (spec.kind, spec.name, spec.vocabulary, spec.aggregation) == (
        "bm25",
        name,
        "open",
        "sum",
    )
    assert spec.max_weight == pytest.approx(1.9)
    assert spec.parameters["average_length"] == 5.5


def test_fit_leaves_the_original_alone() -> None:
    encoder = create("english-bm25")
    assert encoder.fit(CorpusStatistics(10, 40)).spec.parameters["average_length"] == 4
    assert encoder.spec.parameters["average_length"] is None
    assert encoder.fit(CorpusStatistics(0, 0)).spec.parameters["average_length"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_makes_the_encoder_again(name: str) -> None:
    encoder = fitted(name, "k1=1.2,b=0.75")
    parameters = json.loads(json.dumps(dict(encoder.spec.parameters)))
    again = create(encoder.spec.name, **parameters)
    assert again.spec == encoder.spec
    assert again.encode_documents(DOCUMENTS).weights.tolist() == (
        encoder.encode_documents(DOCUMENTS).weights.tolist()
    )


def test_another_tokenizer_than_the_recorded_one_is_refused() -> None:
    content = json.loads(default_tokenizer_json())
    content["normalizer"]["lowercase"] = False
    cased = json.dumps(content).encode()
    encoder = create("wordpiece-bm25", tokenizer_json=cased)
    assert encoder.query_side().tokenizer_json == cased
    with pytest.raises(EncoderError, match=r"another tokenizer\.json"):
        create("wordpiece-bm25", **encoder.spec.parameters)


def test_bm25_is_short_for_english_and_takes_an_analyzer() -> None:
    assert create("bm25").spec.name == "english-bm25"
    assert create("bm25", "analyzer=plain").spec.name == "plain-bm25"


def test_query_side_names_the_analyzer_and_has_no_table() -> None:
    side = create("english-bm25").query_side()
    assert (side.analyzer, side.tokenizer_json, side.table) == ("english", None, None)
    side = create("wordpiece-bm25").query_side()
    assert (side.analyzer, side.table) == ("wordpiece", None)
    assert side.tokenizer_json == default_tokenizer_json()


def test_encoding_before_fit_says_what_to_do() -> None:
    with pytest.raises(EncoderError, match=r"encoder.fit\(CorpusStatistics"):
        create("english-bm25").encode_documents(DOCUMENTS)


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("english-bm25", "k1=-1", "k1 must lie between 0 and 1000, got -1"),
        ("english-bm25", "k1=nan", "k1 must lie"),
        ("english-bm25", "k1=inf", "k1 must lie"),
        ("english-bm25", "b=1.5", "b must lie between 0 and 1, got 1.5"),
        ("english-bm25", "k1=fast", "k1 must be a number, got 'fast'"),
        ("english-bm25", "k2=1", "no setting 'k2'; it knows analyzer, k1, b"),
        ("english-bm25", "1.2", "cannot read the setting '1.2'"),
        ("english-bm25", "k1=1,k1=2", "'k1' twice"),
        ("english-bm25", "average_length=0", "average_length must be"),
        ("english-bm25", "analyzer=plain", "write 'plain-bm25'"),
        ("bm25", "analyzer=klingon", "no analyzer 'klingon'"),
        ("klingon-bm25", None, "no analyzer 'klingon'"),
    ],
)
def test_bad_settings_are_named(name: str, argument: str | None, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        create(name, argument)


def test_score_with_idf_is_classic_bm25() -> None:
    # Two documents, query "fox" in one: idf ln(1 + 1.5 / 1.5), tf 2, dl 2, average length 1.5.
    encoder = create("plain-bm25", "k1=1.2,b=0.75").fit(CorpusStatistics(2, 3))
    rows = encoder.encode_documents([Document("a", "fox fox"), Document("b", "dog")])
    score = math.log(2) * float(rows.weights[0])
    assert score == pytest.approx(math.log(2) * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 2 / 1.5)))
