"""A space of two parts scores a document with the sum of what the parts apart give it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.base import Document
from eval.datasets.beir import Dataset, open_dataset
from indexer.builder import build
from indexer.cli import cli
from indexer.format.manifest import read_manifest
from indexer.settings import BuildSettings
from retriever.searcher import Searcher, open_index

TOLERANCE = 1e-6
ORDER_TOLERANCE = 1e-5
"""Integer weights decide the order; they are rounded by about this share of a score."""

WHOLE = BuildSettings(split=False)
EVERYTHING = 100_000

Scores = dict[str, float]


def scores(searcher: Searcher, query: str, **options) -> Scores:
    return {hit.doc_id: hit.score for hit in searcher.search(query, EVERYTHING, **options).hits}


def weighted_sum(parts: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    total: Scores = {}
    for name, found in parts.items():
        for doc_id, score in found.items():
            total[doc_id] = total.get(doc_id, 0.0) + weights[name] * score
    return total


def assert_is_sum(found: Scores, expected: Scores) -> None:
    """Equal documents, scores to the tolerance, and an order that the sums nearly agree with."""
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=TOLERANCE, abs=0)
    order = [expected[doc_id] for doc_id in found]
    for first, second in pairwise(order[:100]):
        assert first >= second * (1 - ORDER_TOLERANCE)


@pytest.fixture(scope="module")
def cacm(shared_data) -> Dataset:
    return open_dataset(shared_data / "cacm")


@pytest.fixture(scope="module")
def genuine(cacm, splade_tiny, tmp_path_factory) -> Path:
    """Every twentieth document of cacm, with the published checkpoint."""
    pytest.importorskip("torch", reason="needs the [encode] extra")
    pytest.importorskip("transformers", reason="needs the [encode] extra")
    index = tmp_path_factory.mktemp("two-parts") / "cacm.winnow"
    learned = f"splade:{splade_tiny}?max_length=64"
    encoders = {
        "both": f"english-bm25 + 0.5*{learned}",
        "words": "english-bm25",
        "learned": learned,
    }
    build(list(cacm.documents())[::20], index, encoders, settings=WHOLE)
    return index


@pytest.fixture(scope="module")
def apart(cacm, genuine) -> dict[str, dict[str, Scores]]:
    """Per query, the scores of the spaces apart."""
    searcher = open_index(genuine)
    return {
        text: {
            "english-bm25": scores(searcher, text, space="words"),
            "splade": scores(searcher, text, space="learned"),
        }
        for text in cacm.queries.values()
    }


@pytest.mark.torch
@pytest.mark.parametrize("weight", [0.03, 0.5, 1.0, 2.75, 40.0])
def test_scores_of_a_genuine_checkpoint_are_sums(genuine, apart, weight):
    searcher = open_index(genuine)
    weights = {"english-bm25": 1.0, "splade": weight}
    assert len(apart) > 50
    for text, parts in apart.items():
        found = scores(searcher, text, space="both", part_weights={"splade": weight})
        assert_is_sum(found, weighted_sum(parts, weights))


@pytest.mark.torch
def test_the_first_hits_are_those_of_the_sums(genuine, apart):
    searcher = open_index(genuine)
    weights = {"english-bm25": 1.0, "splade": 0.5}
    for text, parts in apart.items():
        expected = sorted(weighted_sum(parts, weights).values(), reverse=True)[:100]
        hits = searcher.search(text, 100, space="both").hits
        assert [hit.score for hit in hits] == pytest.approx(expected, rel=TOLERANCE, abs=0)


@pytest.mark.torch
def test_documents_that_one_part_matches_are_found(genuine, apart):
    searcher = open_index(genuine)
    by_words = by_expansion = 0
    for text, parts in apart.items():
        words, learned = parts["english-bm25"].keys(), parts["splade"].keys()
        found = scores(searcher, text, space="both").keys()
        assert found == words | learned
        by_words += len(words - learned)
        by_expansion += len(learned - words)
    assert by_expansion > 300
    assert by_words > 0


@pytest.mark.torch
def test_a_weight_of_zero_leaves_a_part_out(genuine, apart):
    searcher = open_index(genuine)
    for text, parts in apart.items():
        for left, other in (("english-bm25", "splade"), ("splade", "english-bm25")):
            options = {"space": "both", "part_weights": {left: 0, other: 1}}
            assert list(scores(searcher, text, **options).items()) == list(parts[other].items())


@pytest.mark.torch
def test_configure_changes_the_weight_and_no_row(genuine, apart, tmp_path):
    index = tmp_path / "cacm.winnow"
    shutil.copytree(genuine, index)
    before = read_manifest(index)
    with open_index(index) as searcher, open_index(genuine) as original:
        arguments = ["--space", "both", "--part", "splade", "--weight", "1.75"]
        answer = CliRunner().invoke(cli, ["configure", str(index), *arguments])
        assert answer.exit_code == 0, answer.output
        after = read_manifest(index)
        assert after.generation == before.generation + 1
        assert after.segments == before.segments
        query = next(iter(apart))
        unchanged = scores(searcher, query, space="both")
        assert unchanged == scores(original, query, space="both")
        assert searcher.refresh()
        weights = {"english-bm25": 1.0, "splade": 1.75}
        for text, parts in apart.items():
            found = scores(searcher, text, space="both")
            assert found == scores(original, text, space="both", part_weights=weights)
            assert_is_sum(found, weighted_sum(parts, weights))


@pytest.mark.torch
def test_an_explanation_splits_the_score_by_part(genuine, apart):
    searcher = open_index(genuine)
    expanded = 0
    for text, parts in apart.items():
        weights = {"english-bm25": 1.0, "splade": 0.7}
        options = {"space": "both", "part_weights": weights, "explain": True}
        for hit in searcher.search(text, 20, **options).hits:
            terms = hit.explanation
            assert sum(term.contribution for term in terms) == pytest.approx(hit.score, rel=1e-12)
            for name, weight in weights.items():
                share = sum(term.contribution for term in terms if term.part == name)
                alone = parts[name].get(hit.doc_id, 0.0)
                assert share == pytest.approx(weight * alone, rel=TOLERANCE, abs=0)
            expanded += sum(not term.in_text for term in terms)
            assert all(term.in_text for term in terms if term.part == "english-bm25")
    assert expanded > 0


@pytest.mark.torch
def test_a_synthetic_checkpoint_beside_bm25(write_router, tokens, tmp_path):
    """Three indexes built apart; the weight of the expression counts where no other is given."""
    pytest.importorskip("torch", reason="needs the [encode] extra")
    pytest.importorskip("transformers", reason="needs the [encode] extra")
    checkpoint = write_router(tmp_path / "checkpoint")
    words = [token for token in tokens if token.isalpha()]
    rng = random.Random(5)
    texts = [" ".join(rng.choices(words, k=rng.randrange(1, 20))) for _ in range(150)]
    documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    learned = f"splade:{checkpoint}"
    expressions = {
        "both": f"english-bm25 + 0.25*{learned}",
        "words": "english-bm25",
        "learned": learned,
    }
    searchers = {}
    for name, expression in expressions.items():
        build(documents, tmp_path / name, expression, settings=WHOLE)
        searchers[name] = open_index(tmp_path / name)
    for query in (*texts[:20], "red planet weather in new york ?"):
        parts = {name: scores(searchers[name], query) for name in ("words", "learned")}
        expected = weighted_sum(parts, {"words": 1.0, "learned": 0.25})
        assert_is_sum(scores(searchers["both"], query), expected)


VOCABULARY = ["the", "wheat", "and", "chaff", "in", "sieves", "grains", "milling", "ovens", "rye"]
PARTS = ("english-bm25", "plain-bm25", "wordpiece-bm25")


@pytest.fixture(scope="module")
def three_parts(tmp_path_factory) -> Searcher:
    """Three parts in one space, and each of them in a space of its own."""
    index = tmp_path_factory.mktemp("parts") / "index"
    rng = random.Random(7)
    texts = [" ".join(rng.choices(VOCABULARY, k=rng.randrange(40))) for _ in range(300)]
    documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    encoders = {"all": " + ".join(PARTS), **{name: name for name in PARTS}}
    build(documents, index, encoders, settings=WHOLE)
    return open_index(index)


WEIGHT = st.one_of(st.just(0.0), st.floats(0.01, 100))


@settings(deadline=None)
@given(
    words=st.lists(st.sampled_from([*VOCABULARY, "unknown"]), max_size=30),
    weights=st.tuples(WEIGHT, WEIGHT, WEIGHT),
)
def test_any_query_and_weights(three_parts, words, weights):
    query = " ".join(words)
    part_weights = dict(zip(PARTS, weights, strict=True))
    parts = {
        name: scores(three_parts, query, space=name)
        for name, weight in part_weights.items()
        if weight > 0
    }
    found = scores(three_parts, query, space="all", part_weights=part_weights)
    assert_is_sum(found, weighted_sum(parts, part_weights))
