"""A genuine checkpoint gives the scores that its authors' library gives."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.base import Document
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.registry import create_encoder

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

QUERY = "Which planet is known as the Red Planet?"
# Dot products of query and document vectors, both by the model (symmetric), in float32.
SCORES = {
    "Venus is often called Earth's twin because of its similar size and proximity.": 4.9924,
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.": 18.6274,
    "Jupiter, the largest planet in our solar system, has a prominent red spot.": 12.6202,
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet.": 13.8983,
}


@pytest.mark.parametrize("zero_special_tokens", [True, False])
def test_published_scores(splade_tiny, zero_special_tokens):
    encoder = create_encoder(
        "splade", str(splade_tiny), zero_special_tokens=zero_special_tokens, device="cpu"
    )
    rows = encoder.encode_documents([Document(text, text) for text in (QUERY, *SCORES)])
    matrix = np.zeros((5, encoder.spec.vocabulary))
    for i in range(5):
        span = slice(rows.indptr[i], rows.indptr[i + 1])
        matrix[i, rows.dimensions[span]] = rows.weights[span]
    np.testing.assert_allclose(matrix[1:] @ matrix[0], list(SCORES.values()), atol=1e-3)


def test_documents_are_expanded_and_queries_need_no_model(splade_tiny):
    encoder = create_encoder("splade", str(splade_tiny))
    assert encoder.spec.vocabulary == 30522
    assert encoder.spec.aggregation == "binary"
    assert encoder.spec.max_length == 512
    side = encoder.query_side()
    tokenizer = WordPieceTokenizer(side.tokenizer_json)
    assert side.table is None
    tokens = [tokenizer.token(i) for i in tokenizer.ids("What's the weather in ny now?")]
    assert tokens == ["what", "'", "s", "the", "weather", "in", "ny", "now", "?"]
    rows = encoder.encode_documents([Document("1", "Currently New York is rainy.")])
    found = {tokenizer.token(int(i)) for i in rows.dimensions}
    assert {"york", "rain", "city"} <= found
    assert not found & {"[CLS]", "[SEP]", "[PAD]"}
    counts = encoder.count_tokens([Document("1", "Currently New York is rainy.")])
    plain = {tokenizer.token(int(i)) for i in counts.dimensions}
    assert plain == {"currently", "new", "york", "is", "rainy", "."}


def test_memory_does_not_hold_length_times_vocabulary(splade_tiny):
    import torch

    encoder = create_encoder("splade", str(splade_tiny), device="cpu")
    document = Document("1", "the weather in new york is rainy " * 200)
    encoder.encode_documents([document])
    with torch.profiler.profile(profile_memory=True) as profile:
        encoder._encode_batch(encoder.tokenizers.encode([document.full_text()] * 4))
    largest = max(abs(e.cpu_memory_usage) for e in profile.events() if e.name == "[memory]")
    assert largest < 4 * 512 * 30522 * 4 / 10  # A tenth of the whole tensor's 250 MB.
