"""An order of passages chosen by similarity: the same answers, from other rows."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document
from indexer import reorder
from indexer.builder import add_documents, build, delete_documents
from indexer.corpus.records import CorpusRecord
from indexer.errors import IndexCorruptError
from indexer.format.manifest import read_manifest
from indexer.format.postings import ImpactRows
from indexer.format.segment import Segment
from indexer.reorder import bisected_order, inverse, reordered
from indexer.settings import BuildSettings
from retriever.searcher import Searcher, open_index

SPACES = {"words": "english-bm25", "both": "plain-bm25 + 0.5*english-bm25"}
SPLIT = BuildSettings(passage_tokens=16, segment_rows=500)
TOPICS = [[f"{topic}{i}" for i in range(20)] for topic in ("grain", "star", "ship", "poem")]
QUERIES = ("grain1", "star3 star4 ship0", "poem7 grain2 the", "the of", "ship19 unknown the")


def documents(count: int, seed: int = 0) -> list[Document]:
    """Topics in turn, many equal texts (whose scores tie), some texts of several passages."""
    rng = random.Random(seed)
    result = []
    for number in range(count):
        words = [*rng.choices(TOPICS[number % 4], k=3), "the", "of"]
        if number % 11 == 0:
            words = rng.choices(TOPICS[number % 4], k=60)
        elif number % 3 == 0:
            words = [TOPICS[number % 4][1], "the"]
        text = ". ".join(" ".join(words[i : i + 6]) for i in range(0, len(words), 6))
        title = "The topic" if number % 5 == 0 else ""
        result.append(Document(f"s{seed}d{number}", text, title, {"number": number}))
    return result


def write(index: Path, settings: BuildSettings) -> Path:
    """A build, a deletion and an addition."""
    build(documents(700), index, SPACES, settings=settings)
    delete_documents(index, [f"s0d{number}" for number in range(0, 700, 9)])
    records = [CorpusRecord(document, "-", None) for document in documents(150, seed=1)]
    add_documents(index, records)
    return index


@pytest.fixture(scope="module", params=["whole", "split"])
def indexes(request, tmp_path_factory) -> tuple[Path, Path]:
    """The same documents in order of arrival and bisected."""
    folder = tmp_path_factory.mktemp("orders")
    settings = SPLIT if request.param == "split" else BuildSettings(split=False, segment_rows=500)
    bisected = settings.model_copy(update={"order": "bisected"})
    return write(folder / "arrival", settings), write(folder / "bisected", bisected)


def segments(index: Path) -> list[Segment]:
    manifest = read_manifest(index)
    return [Segment(index, entry, manifest.spaces) for entry in manifest.segments]


def answers(searcher: Searcher, **options) -> list[object]:
    found = []
    for space in SPACES:
        for query in QUERIES:
            for k in (1, 3, 10, 1000):
                results = searcher.search(query, k, space=space, count_total=True, **options)
                found.append((results.hits, results.total))
    return found


def test_rows_move_and_additions_follow_the_setting(indexes):
    for segment in segments(indexes[0]):
        assert segment.row_arrival is None
        assert segment.row_of_arrival is None
    for segment in segments(indexes[1]):
        moved = segment.row_arrival != np.arange(segment.entry.row_count)
        assert np.count_nonzero(moved) > segment.entry.row_count // 2
        natural = segment.passage_doc[segment.row_of_arrival]
        assert np.all(np.diff(natural.astype(int)) >= 0)


@pytest.mark.parametrize("memory_map", [True, False])
def test_answers_do_not_depend_on_the_order(indexes, memory_map):
    one, other = (open_index(index, memory_map=memory_map) for index in indexes)
    details = {"explain": True, "highlight": True}
    for options in (details, {"filter": {"field": "number", "lt": 300}}, {"min_score": 0.7}):
        assert answers(one, **options) == answers(other, **options)
    assert any(hits for hits, _ in answers(one))


def test_deletions_find_the_passages_of_a_document(indexes, tmp_path):
    copies = [shutil.copytree(index, tmp_path / index.name) for index in indexes]
    doomed = [f"s0d{number}" for number in range(1, 700, 4)]
    deleted = {delete_documents(copy, doomed).deleted for copy in copies}
    assert len(deleted) == 1
    assert min(deleted) > 100
    manifests = [read_manifest(copy) for copy in copies]
    for one, other in zip(*(manifest.segments for manifest in manifests), strict=True):
        assert one.live_rows == other.live_rows
        assert one.token_counts == other.token_counts
    assert answers(open_index(copies[0])) == answers(open_index(copies[1]))


@pytest.mark.parametrize("name", ["row_arrival", "row_of_arrival"])
@pytest.mark.parametrize("damage", ["twice", "outside", "swapped"])
def test_an_order_that_is_none_is_refused(indexes, tmp_path, name, damage):
    index = shutil.copytree(indexes[1], tmp_path / "index")
    path = next((index / "segments").iterdir()) / f"{name}.npy"
    values = np.load(path)
    if damage == "twice":
        values[0] = values[1]
    elif damage == "outside":
        values[3] = len(values)
    else:
        values[[0, 1]] = values[[1, 0]]
    np.save(path, values)
    with pytest.raises(IndexCorruptError, match=r"row_arrival\.npy: the order of passages"):
        open_index(index)


def random_rows(count: int, seed: int) -> ImpactRows:
    """Rows of four groups of dimensions that arrive in turn, and some dimensions of all rows."""
    rng = np.random.default_rng(seed)
    rows = [
        np.unique([*(row % 4 * 20 + rng.integers(0, 20, 6)), 80, *rng.integers(81, 4000, 2)])
        for row in range(count)
    ]
    dimensions = np.concatenate(rows).astype(np.uint32)
    impacts = rng.integers(1, 256, len(dimensions)).astype(np.uint8)
    return ImpactRows(np.cumsum([0, *map(len, rows)]), dimensions, impacts, 4000)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_order_gathers_the_groups(parts, pieces):
    rows = [random_rows(1200, seed) for seed in range(parts)]
    found = bisected_order(rows, 1200 * reorder.BYTES_PER_ROW // pieces)
    assert sorted(found.row_arrival.tolist()) == list(range(1200))
    assert found.log2_gap_after < found.log2_gap_before - 1
    assert np.array_equal(found.row_arrival[inverse(found.row_arrival)], np.arange(1200))
    # With little memory each piece is ordered within itself.
    bounds = np.linspace(0, 1200, pieces + 1).astype(int)
    for first, last in itertools.pairwise(bounds):
        assert set(found.row_arrival[first:last]) == set(range(first, last))


def test_reordered_rows_are_the_same_rows():
    rows = random_rows(50, 7)
    order = np.random.default_rng(3).permutation(50).astype(np.uint32)
    moved = reordered(rows, order)
    for position, row in enumerate(order):
        ours = slice(*moved.indptr[position : position + 2])
        theirs = slice(*rows.indptr[row : row + 2])
        assert np.array_equal(moved.dimensions[ours], rows.dimensions[theirs])
        assert np.array_equal(moved.impacts[ours], rows.impacts[theirs])


def test_rows_without_telling_dimensions_stay():
    rows = ImpactRows(np.arange(31), np.zeros(30, np.uint32), np.ones(30, np.uint8), 1)
    found = bisected_order([rows], 1 << 20)
    assert found.row_arrival.tolist() == list(range(30))
    assert found.log2_gap_before == found.log2_gap_after == 0
