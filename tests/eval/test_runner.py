"""Running systems over a collection, with a small one that lives in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ir_measures
import pytest

from eval.datasets.beir import Dataset
from eval.errors import PeerAbsentError, SystemFailedError
from eval.measures import parse_measures
from eval.per_query import is_per_query_file, read_per_query
from eval.runner import Protocol, file_stem, run_system
from eval.systems import SystemDescription
from indexer.errors import IndexNotFoundError

QUERIES = {"q1": "red apple", "q2": "pear", "d3": "only me"}
QRELS = {"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 2}, "d3": {"d1": 1}, "untold": {"d1": 1}}
DATASET = Dataset("fruit", Path("fruit"), "test", QUERIES, QRELS, ("untold",))
DOCUMENTS = {"d1": "red apple", "d2": "green pear", "d3": "only me apple"}


class WordCount:
    """Ranks by the number of query words in a document, by order of arrival among equals."""

    name = "word count: a/b"

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.closed = 0

    def prepare(self, dataset: Dataset) -> None:
        assert dataset is DATASET

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[tuple[str, float]]]:
        self.depths.append(k)
        run = {}
        for query_id, text in queries.items():
            counts = {
                doc_id: float(len(set(text.split()) & set(content.split())))
                for doc_id, content in DOCUMENTS.items()
            }
            ranking = sorted(counts.items(), key=lambda pair: -pair[1])
            run[query_id] = [pair for pair in ranking if pair[1]][:k]
        return run

    def description(self) -> SystemDescription:
        return SystemDescription({"words": "all"}, {"words": "1"}, ("a note",), 0.5, 0.25)

    def close(self) -> None:
        self.closed += 1


def test_result_and_files(tmp_path: Path) -> None:
    system, lines = WordCount(), []
    protocol = Protocol(parse_measures(["nDCG@10", "RR@10"]), k=2)
    result = run_system(system, DATASET, protocol, tmp_path, lines.append)
    assert result.status == "ok"
    assert result.measures == {"nDCG@10": 0.5, "RR@10": 0.5}
    assert result.missing_queries == ["d3", "untold"]
    assert result.queries_without_text == ["untold"]
    assert (result.queries, result.identical_ids) == (4, 1)
    assert (result.settings, result.notes) == ({"words": "all"}, ["a note"])
    assert (result.build_seconds, result.search_seconds) == (0.5, 0.25)
    assert system.depths == [3]  # one more, for the document that may be removed
    assert system.closed == 1
    assert any("2 queries without any document count as 0" in line for line in lines)

    assert result.run_file == "fruit.word_count_a_b.run.gz"
    measures = [ir_measures.nDCG @ 10, ir_measures.RR @ 10]
    run = list(ir_measures.read_trec_run(str(tmp_path / result.run_file)))
    again = ir_measures.calc_aggregate(measures, QRELS, run)
    assert {str(measure): value for measure, value in again.items()} == result.measures

    assert result.per_query_file is not None
    assert is_per_query_file(tmp_path / result.per_query_file)
    assert not is_per_query_file(tmp_path / result.run_file)
    per_query = read_per_query(tmp_path / result.per_query_file)
    assert list(per_query) == list(QRELS)
    assert per_query["q2"] == {"nDCG@10": 1.0, "RR@10": 1.0}


def test_identical_ids_kept() -> None:
    system = WordCount()
    protocol = Protocol(parse_measures(["RR"]), k=2, ignore_identical_ids=False)
    result = run_system(system, DATASET, protocol)
    assert system.depths == [2]
    assert (result.identical_ids, result.missing_queries) == (0, ["untold"])
    assert result.run_file is None


def test_identical_id_that_is_judged_relevant_is_counted() -> None:
    qrels = {"d3": {"d3": 1}}
    dataset = Dataset("fruit", Path("fruit"), "test", {"d3": "only me"}, qrels)
    system = WordCount()
    system.prepare = lambda dataset: None  # type: ignore[method-assign]
    result = run_system(system, dataset, Protocol(parse_measures(["RR"])))
    assert (result.identical_ids, result.identical_ids_judged_relevant) == (1, 1)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PeerAbsentError("not installed, to install: pip install x"), "absent"),
        (SystemFailedError("it broke"), "failed"),
        (IndexNotFoundError("there is no index"), "failed"),
    ],
)
def test_a_system_that_does_not_run_says_why(error: Exception, status: str) -> None:
    class Broken(WordCount):
        def search(self, queries: Mapping[str, str], k: int) -> dict:
            raise error

    system = Broken()
    result = run_system(system, DATASET, Protocol(parse_measures(["RR"])))
    assert (result.status, result.reason, result.measures) == (status, str(error), {})
    assert system.closed == 1


def test_other_errors_are_not_hidden() -> None:
    class Wrong(WordCount):
        def search(self, queries: Mapping[str, str], k: int) -> dict:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_system(Wrong(), DATASET, Protocol(parse_measures(["RR"])))


def test_file_stems() -> None:
    assert file_stem("english-bm25 + 0.5*splade:C") == "english-bm25_0.5_splade_C"
    assert file_stem("../..") == "system"
