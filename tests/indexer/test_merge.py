"""Merged segments answer as they did, and as a fresh build of what is left would."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document
from indexer import generation
from indexer.builder import add_documents, build, delete_documents
from indexer.corpus.records import CorpusRecord
from indexer.errors import (
    IndexCorruptError,
    IndexerError,
    IndexNotFoundError,
    MergeMemoryError,
)
from indexer.format.documents import BATCH_ROWS
from indexer.format.manifest import read_manifest
from indexer.format.segment import Segment
from indexer.merge import merge_segments
from indexer.settings import BuildSettings
from indexer.verification import verify
from retriever.searcher import Searcher, open_index

SPACES = {"words": "english-bm25", "both": "plain-bm25 + 0.5*english-bm25"}
WORDS = ["wheat", "rye", "oats", "barley", "millers", "milling", *(f"w{i}" for i in range(60))]
QUERIES = ("wheat", "rye oats w3", "the millers milling barley wheat", "w17 w40 unknown")


def documents(count: int, seed: int, length: int = 12) -> list[Document]:
    """Some of several passages, some without text, with metadata that not all segments have."""
    rng = random.Random(seed)
    frequency = [1 / (i + 1) for i in range(len(WORDS))]
    result = []
    for number in range(count):
        words = rng.choices(
            WORDS, frequency, k=rng.randrange(length) * (8 if number % 9 == 0 else 1)
        )
        text = ". ".join(" ".join(words[i : i + 7]) for i in range(0, len(words), 7))
        metadata = {"number": number} | ({"seed": str(seed)} if seed else {})
        result.append(
            Document(f"s{seed}d{number}", text, f"Oats {number}" * (number % 2), metadata)
        )
    return result


def records(batch: list[Document]) -> list[CorpusRecord]:
    return [CorpusRecord(document, "-", None) for document in batch]


def write(index: Path, *, split: bool = True, spaces: dict[str, str] = SPACES) -> list[Document]:
    """An index of several segments with deletions; returns the documents that are left."""
    settings = BuildSettings(split=split, passage_tokens=16, segment_rows=70)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "BATCH_DOCUMENTS", 40)
        build(documents(120, 0), index, spaces, settings=settings)
        add_documents(index, records(documents(30, 1)))
        add_documents(index, records([*documents(50, 2), *documents(9, 0)]), replace=True)
    doomed = {f"s0d{number}" for number in range(0, 120, 7)} | {"s1d3", "s2d0"}
    delete_documents(index, doomed)
    left = [d for d in documents(120, 0)[9:] if d.doc_id not in doomed]
    left += [d for d in documents(30, 1) if d.doc_id not in doomed]
    added = [*documents(50, 2), *documents(9, 0)]
    return left + [d for d in added if d.doc_id not in doomed]


@pytest.fixture(scope="module", params=[True, False], ids=["split", "whole"])
def original(request, tmp_path_factory) -> Path:
    index = tmp_path_factory.mktemp("merging") / "index"
    write(index, split=request.param)
    return index


@pytest.fixture
def index(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "index"))


def segments(index: Path) -> list[Segment]:
    manifest = read_manifest(index)
    return [Segment(index, entry, manifest.spaces) for entry in manifest.segments]


def answers(index: Path | Searcher) -> list[object]:
    """Hits with integer scores behind them, totals, explanations and snippets."""
    searcher = open_index(index) if isinstance(index, Path) else index
    found: list[object] = []
    for space in searcher._snapshot.spaces:
        for query in QUERIES:
            for condition in (None, {"field": "number", "lt": 25}):
                for k in (3, 1000):
                    results = searcher.search(
                        query, k, space=space, filter=condition, explain=k < 10, count_total=True
                    )
                    hits = [(h.doc_id, h.score, h.explanation, h.passage) for h in results.hits]
                    found.append((hits, results.total))
    return found


def statistics(index: Path) -> dict[str, tuple[Counter[str], int]]:
    """Document frequencies and tokens per part, over all segments."""
    found = {}
    for space, entry in read_manifest(index).spaces.items():
        for part in entry.parts:
            frequencies: Counter[str] = Counter()
            for segment in segments(index):
                view = segment.spaces[space].parts[part.name]
                terms = view.terms if view.terms is not None else map(str, range(view.size))
                frequencies.update(dict(zip(terms, view.doc_freq.tolist(), strict=True)))
            key = f"{space}.{part.name}"
            tokens = sum(e.token_counts[key] for e in read_manifest(index).segments)
            found[key] = (+frequencies, tokens)
    return found


@pytest.mark.parametrize("order", ["arrival", "bisected"])
def test_a_merged_index_answers_as_before(index, order):
    before, expected, counted = read_manifest(index), answers(index), statistics(index)
    report = merge_segments(index, order=order)
    after = read_manifest(index)
    assert verify(index).problems == ()
    assert answers(index) == expected
    assert statistics(index) == counted
    assert after.spaces == before.spaces
    (entry,) = after.segments
    assert entry.tombstones is None
    assert entry.reordered == (order == "bisected")
    assert entry.document_count == entry.live_documents == before.document_count
    assert entry.row_count == entry.live_rows == before.row_count
    assert after.next_ordinal == before.next_ordinal
    (segment,) = segments(index)
    assert np.all(np.diff(segment.ordinals.astype(int)) > 0)
    assert (report.merged_segments, report.segments) == (len(before.segments), 1)
    assert not entry.compressed
    assert report.documents == before.document_count
    deleted = sum(e.document_count - e.live_documents for e in before.segments)
    assert report.dropped_documents == deleted > 20
    assert report.dropped_passages >= deleted
    sizes = [sum(e.size for e in m.all_files().values()) for m in (before, after)]
    assert [report.size_before, report.size_after] == sizes
    assert sizes[1] < sizes[0]
    on_disk = {path.name for path in (index / "segments").iterdir()}
    assert on_disk == {entry.name}


def test_documents_and_metadata_are_carried_through(tmp_path):
    left = write(tmp_path / "index")
    merge_segments(tmp_path / "index")
    searcher = open_index(tmp_path / "index")
    for document in left:
        stored = searcher.document(document.doc_id)
        assert (stored.title, stored.text) == (document.title, document.text)
        assert stored.metadata == document.metadata
    (segment,) = segments(tmp_path / "index")
    assert [segment.doc_ids[i] for i in range(len(left))] == [d.doc_id for d in left]
    assert segment.documents.columns.num_rows == len(left)


@pytest.mark.parametrize("refresh", [False, True])
@pytest.mark.parametrize("order", ["arrival", "bisected"])
def test_a_merged_index_equals_a_fresh_build(tmp_path, monkeypatch, refresh, order):
    """Under the same scales; and under the same average length, which a refresh fits anew."""
    left = write(tmp_path / "index", spaces={"words": "english-bm25"})
    merge_segments(tmp_path / "index", order=order, refresh_statistics=refresh)
    merged = read_manifest(tmp_path / "index")
    part = merged.spaces["words"].parts[0]
    monkeypatch.setattr(generation, "choose_scales", lambda *_: {"words.english-bm25": part.scale})
    if not refresh:
        monkeypatch.setattr(
            "encoders.base.CorpusStatistics.average_length",
            property(lambda _: part.encoder.parameters["average_length"]),
        )
    settings = BuildSettings.model_validate(merged.settings)
    settings = settings.model_copy(update={"segment_rows": 1000})
    build(left, tmp_path / "fresh", {"words": "english-bm25"}, settings=settings)
    fresh = read_manifest(tmp_path / "fresh")
    assert fresh.spaces == merged.spaces
    assert answers(tmp_path / "index") == answers(tmp_path / "fresh")
    ours, theirs = (
        {name: e for name, e in manifest.segments[0].files.items() if "ordinals" not in name}
        for manifest in (merged, fresh)
    )
    # Bytes differ where batches of documents were cut elsewhere, and nowhere else.
    assert ours.keys() == theirs.keys()
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different <= {"documents.arrow", "columns.arrow"}


def test_statistics_are_refreshed(index):
    before = read_manifest(index)
    report = merge_segments(index, refresh_statistics=True)
    assert report.merged_segments == len(before.segments)
    after = read_manifest(index)
    for space, entry in after.spaces.items():
        for old, part in zip(before.spaces[space].parts, entry.parts, strict=True):
            tokens = after.segments[0].token_counts[f"{space}.{part.name}"]
            length = part.encoder.parameters["average_length"]
            assert length == pytest.approx(tokens / after.row_count)
            assert length != old.encoder.parameters["average_length"]
            assert part.scale == old.scale
            assert part.query == old.query
    assert verify(index).problems == ()
    add_documents(index, records(documents(5, 9)))  # the encoders are made as recorded
    assert open_index(index).search("wheat", 3, space="both").hits


def test_the_smallest_neighbours_are_merged(index):
    before = read_manifest(index)
    expected = answers(index)
    rows = [entry.live_rows for entry in before.segments]
    sums = list(map(sum, itertools.pairwise(rows)))
    first = sums.index(min(sums))
    left = len(rows) - 1
    report = merge_segments(index, segments=left)
    after = read_manifest(index)
    kept = [e for n, e in enumerate(before.segments) if n not in (first, first + 1)]
    assert [e for e in after.segments if e in kept] == kept
    assert after.segments[first].live_rows == min(sums)
    assert (report.merged_segments, report.segments) == (2, left)
    assert answers(index) == expected
    firsts = [int(segment.ordinals[0]) for segment in segments(index)]
    assert firsts == sorted(firsts)
    for wanted in (left, left + 1, 99):
        assert merge_segments(index, segments=wanted).merged_segments == 0
    assert read_manifest(index) == after


def test_nothing_is_written_when_there_is_nothing_to_do(index):
    merge_segments(index)
    manifest = read_manifest(index)
    report = merge_segments(index)
    assert report.merged_segments == 0
    assert report.generation == manifest.generation
    assert read_manifest(index) == manifest
    # Another order is something to do, and so is a deletion.
    assert merge_segments(index, order="bisected").log2_gap_after is not None
    assert read_manifest(index).settings["order"] == "bisected"
    assert merge_segments(index, order="bisected").merged_segments == 0
    delete_documents(index, ["s2d4"])
    assert merge_segments(index).dropped_documents == 1
    add_documents(index, records(documents(40, 5)))
    assert all(entry.reordered for entry in read_manifest(index).segments)
    merge_segments(index, order="arrival")
    assert not read_manifest(index).segments[0].reordered


def test_readers_keep_their_snapshot(index):
    searcher = open_index(index)
    expected = answers(open_index(index))
    merge_segments(index, order="bisected")
    assert answers(searcher) == expected
    assert searcher.refresh()
    assert answers(searcher) == answers(index)


def test_everything_deleted_leaves_no_segment(tmp_path):
    build(documents(20, 0), tmp_path / "index", SPACES)
    delete_documents(tmp_path / "index", [f"s0d{n}" for n in range(20)])
    assert merge_segments(tmp_path / "index").dropped_documents == 20
    assert read_manifest(tmp_path / "index").segments == ()
    assert open_index(tmp_path / "index").search("wheat").hits == ()
    assert merge_segments(tmp_path / "index").merged_segments == 0
    add_documents(tmp_path / "index", records(documents(5, 1)))
    assert open_index(tmp_path / "index").search("wheat").hits


def test_texts_come_in_full_batches(tmp_path):
    build(documents(10, 0), tmp_path / "index", "english-bm25")
    for seed in range(1, 5):
        add_documents(tmp_path / "index", records(documents(400, seed, length=3)))
    merge_segments(tmp_path / "index")
    (segment,) = segments(tmp_path / "index")
    sizes = [batch.num_rows for batch in segment.documents.text_batches()]
    assert sizes == [BATCH_ROWS, 1610 - BATCH_ROWS]


def test_damage_is_not_sealed_again(index):
    before = read_manifest(index)
    entry = before.segments[1]
    for name in (
        "words.postings.impacts.npy",
        "documents.arrow",
        "words.english-bm25.terms.bytes.npy",
    ):
        path = index / "segments" / entry.name / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(IndexCorruptError, match="checksum"):
            merge_segments(index)
        path.write_bytes(content)
    assert read_manifest(index) == before
    assert merge_segments(index).merged_segments == len(before.segments)


def test_a_failure_leaves_the_last_generation(index, monkeypatch):
    before = read_manifest(index)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("indexer.merge.commit_manifest", fail)
    with pytest.raises(OSError, match="disk full"):
        merge_segments(index)
    assert read_manifest(index) == before
    assert verify(index).problems == ()
    names = {path.name for path in (index / "segments").iterdir()}
    assert names == {entry.name for entry in before.segments}


def test_too_large_a_merge_is_refused(index, monkeypatch):
    monkeypatch.setattr("indexer.merge.MOST_ROWS", 100)
    with pytest.raises(IndexerError, match="--segments"):
        merge_segments(index)


def test_a_merge_that_does_not_fit_in_memory_is_refused(index):
    before = read_manifest(index)
    with pytest.raises(MergeMemoryError, match=r"needs about [\d.]+ MB .* 0.0 MB.*--segments"):
        merge_segments(index, memory_bytes=1000)
    assert read_manifest(index) == before
    assert verify(index).problems == ()
    assert merge_segments(index, memory_bytes=1 << 30).merged_segments == len(before.segments)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_missing_or_short_file_is_named(index, damage):
    entry = read_manifest(index).segments[1]
    path = index / "segments" / entry.name / "documents.arrow"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-1])
    reason = "the file is missing" if damage == "missing" else "bytes, expected"
    with pytest.raises(IndexCorruptError, match=reason):
        merge_segments(index)


def test_an_order_is_recorded_when_there_is_nothing_to_merge(tmp_path):
    index = tmp_path / "index"
    write(index)
    count = len(read_manifest(index).segments)
    generation = read_manifest(index).generation
    report = merge_segments(index, order="bisected", segments=count)
    assert (report.merged_segments, report.generation) == (0, generation + 1)
    after = read_manifest(index)
    assert after.settings["order"] == "bisected"
    assert len(after.segments) == count
    assert merge_segments(index, order="bisected", segments=count).generation == generation + 1
    add_documents(index, records(documents(40, 5)))
    assert read_manifest(index).segments[-1].reordered


def test_a_merge_that_drops_all_split_documents_keeps_passages(tmp_path):
    index = tmp_path / "index"
    settings = BuildSettings(passage_tokens=16)
    build(
        [Document("long", "wheat rye. " * 40, "", {"number": 1})], index, SPACES, settings=settings
    )
    short = [Document("short", "wheat", "", {"number": 2}), Document("other", "rye")]
    add_documents(index, records(short))
    before = open_index(index).search("wheat", 3, space="words").hits
    assert {hit.doc_id: hit.passage for hit in before}["short"] == (0, 5)
    delete_documents(index, ["long"])
    expected = answers(index)
    merge_segments(index)
    assert answers(index) == expected


def test_compressed_postings_give_the_same_answers(index, indexer):
    expected = answers(index)
    merge_segments(index, order="bisected", compress=True)
    (entry,) = read_manifest(index).segments
    assert entry.compressed
    assert {name for name in entry.files if ".postings." in name} == {
        name for name in entry.files if name.endswith(".npy.zst")
    }
    assert verify(index).problems == ()
    assert answers(index) == expected
    assert answers(open_index(index, memory_map=False)) == expected
    assert re.search(
        r"passages bisected, [\d.]+ kB compressed, [\d.]+ kB decoded",
        indexer("inspect", index).stdout,
    )
    assert merge_segments(index).merged_segments == 0  # it stays as it is
    add_documents(index, records(documents(30, 8)))
    assert [e.compressed for e in read_manifest(index).segments] == [True, False]
    expected = answers(index)
    merge_segments(index)
    assert [e.compressed for e in read_manifest(index).segments] == [False]
    assert answers(index) == expected


@pytest.mark.parametrize("damage", ["flipped", "no frame", "cut", "huge"])
def test_damaged_compressed_postings_are_refused(index, damage):
    merge_segments(index, compress=True)
    (entry,) = read_manifest(index).segments
    path = index / "segments" / entry.name / "words.postings.impacts.npy.zst"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "no frame":
        content[:] = bytes(len(content))
    elif damage == "cut":
        content[-4:] = bytes(4)  # where the checksum of the content stands
    else:
        # A frame header that promises 2^60 bytes: descriptor of 8 bytes of size, single segment.
        content[4:13] = bytes([0xE0]) + (1 << 60).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(IndexCorruptError, match="Zstandard"):
        open_index(index)
    assert verify(index).problems


class TestCommand:
    def test_says_what_it_did(self, index, indexer):
        before = read_manifest(index)
        answer = indexer("merge", index, "--order", "bisected")
        assert answer.code == 0
        assert f"{index}: generation {before.generation + 1} in " in answer.stdout
        assert f"{len(before.segments)} segments merged into one" in answer.stdout
        assert "deleted documents dropped" in answer.stdout
        assert "mean log2 of gaps" in answer.stdout
        assert "nothing to merge" in indexer("merge", index).stdout

    def test_prints_json(self, index, indexer):
        count = len(read_manifest(index).segments)
        report = json.loads(indexer("merge", index, "--segments", 2, "--json").stdout)
        assert report["merged_segments"] == count - 1
        assert report["order_seconds"] is None

    def test_refuses(self, index, indexer, tmp_path, monkeypatch):
        answer = indexer("merge", index, "--refresh-statistics", "--segments", 2)
        assert answer.code == 2
        assert "--segments" in answer.error
        assert indexer("merge", tmp_path / "nothing").code == 1
        with monkeypatch.context() as patch:
            patch.setattr("indexer.merge_memory.BYTES_PER_POSTING", 1 << 20)
            answer = indexer("merge", index, "--memory", "1MiB")
        assert answer.code == 1
        assert "may take 1.0 MB" in answer.error
        with pytest.raises(IndexNotFoundError):
            merge_segments(tmp_path / "nothing")
        with pytest.raises(IndexerError, match="at least 1"):
            merge_segments(index, segments=0)

    def test_build_takes_an_order(self, tmp_path, indexer):
        corpus = tmp_path / "corpus.jsonl"
        corpus.write_text('{"id": "a", "text": "wheat"}\n{"id": "b", "text": "rye"}\n')
        answer = indexer(
            "build",
            corpus,
            "-o",
            tmp_path / "index",
            "-q",
            "--order",
            "bisected",
            "--encoder",
            "bm25",
        )
        assert answer.code == 0
        assert all(entry.reordered for entry in read_manifest(tmp_path / "index").segments)


@pytest.mark.torch
def test_learned_parts_are_copied_and_need_no_encoder(tmp_path, write_router: Callable[..., Path]):
    checkpoint = write_router(tmp_path / "checkpoint")
    spaces = {"default": f"english-bm25 + splade:{checkpoint}"}
    words = ["red", "planet", "weather", "sparse", "index", "mars", "venus", "überall"]
    batch = [Document(f"d{i}", " ".join(words[: i % 8 + 1])) for i in range(30)]
    index = tmp_path / "index"
    build(batch[:12], index, spaces)
    delete_documents(index, ["d3", "d4", "d11"])
    add_documents(index, records(batch[12:]))
    counted = statistics(index)
    query = {"explain": True, "count_total": True}
    before = open_index(index).search("red planet venus weather", 30, **query)
    shutil.rmtree(checkpoint)
    merge_segments(index)
    after = open_index(index).search("red planet venus weather", 30, **query)
    assert (after.hits, after.total) == (before.hits, before.total)
    assert statistics(index) == counted
    merge_segments(index, refresh_statistics=True)
    assert statistics(index) == counted
