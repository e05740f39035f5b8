"""Looking the tokens of a query up: repetitions, weights of parts, and the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from encoders.base import Document
from indexer.builder import build
from retriever import space as space_module
from retriever.query import QueryTerm, integer_query
from retriever.searcher import Searcher, open_index
from retriever.space import SpacePartView


@pytest.fixture
def searcher(tmp_path: Path) -> Searcher:
    documents = [Document(str(n), f"apple pear plum{n} fig{n % 3}") for n in range(20)]
    build([*documents, Document("last", "cherry")], tmp_path / "fruit.winnow", encoder="bm25")
    return open_index(tmp_path / "fruit.winnow")


def part_of(searcher: Searcher) -> SpacePartView:
    [part] = searcher._snapshot.space(None).parts.values()
    return part


def weights(found: list[QueryTerm]) -> dict[str, float]:
    return {term.term: term.weight for term in found}


def test_a_repeated_word_counts_as_often_as_it_stands(searcher: Searcher) -> None:
    part = part_of(searcher)
    once = weights(part.terms("fig1 cherry", 1.0))
    repeated = part.terms("cherries fig1 cherry nowhere cherry nowhere", 1.0)
    assert [term.term for term in repeated] == ["cherri", "fig1"]
    assert weights(repeated) == {"cherri": 3 * once["cherri"], "fig1": once["fig1"]}
    assert weights(part.terms("fig1 cherry", 1.0)) == once


def test_the_weight_of_the_part_is_in_every_term(searcher: Searcher) -> None:
    part = part_of(searcher)
    full, half = (weights(part.terms("cherry fig1 fig1", weight)) for weight in (1.0, 0.5))
    assert full == {term: 2 * weight for term, weight in half.items()}


def test_the_cache_is_bounded_and_changes_nothing(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [f"plum{n} fig{n % 3} plum{n} nothing{n}" for n in range(20)]
    expected = [part_of(searcher).terms(query, 1.0) for query in queries]
    monkeypatch.setattr(space_module, "CACHED_TERMS", 5)
    bounded = part_of(open_index(searcher.path))
    for weight in (1.0, 0.7, 1.0):
        found = [bounded.terms(query, weight) for query in queries]
        assert sum(map(len, bounded._cache.values())) <= 5
    assert found == expected


def test_terms_of_no_weight_are_left_out_of_an_integer_query() -> None:
    terms = [QueryTerm("p", str(n), weight, 0.5, (n,)) for n, weight in enumerate([2.0, 0.0, 1.0])]
    query = integer_query(terms)
    assert [term.term for term in query.terms] == ["0", "2"]
    assert query.products == [1.0, 0.5]
    assert query.weights[0] == pytest.approx(2 * query.weights[1], abs=2)
    assert integer_query([terms[1]]).terms == integer_query([]).terms == ()
