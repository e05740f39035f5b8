"""Encoding in processes and going on after a broken build give the index of one whole run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from encoders.base import Document, EncoderSpec, QuerySide, SparseRows
from encoders.expression import PartExpression
from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json
from indexer.builder import add_documents, build, build_index
from indexer.corpus.records import CorpusRecord
from indexer.encoding import encoding_directory
from indexer.errors import IndexerError, UnfinishedBuildError
from indexer.format.manifest import read_manifest
from indexer.progress import Pace
from indexer.settings import BuildSettings
from indexer.spaces import SpacePart

ROOT = Path(__file__).parents[2]
WORDS = ("red", "planet", "in", "new", "york", "is", "a", "sparse", "index", "of", "mars", "venus")


class Power(Exception):
    """It fails."""


class Learned:
    """An encoder of a fixed vocabulary that counts its calls, and may fail in one of them."""

    def __init__(self, fails_at: int = -1, max_length: int = 512) -> None:
        self.calls = 0
        self.special_token_count = 2
        self._fails_at = fails_at
        self._tokenizer = WordPieceTokenizer(default_tokenizer_json())
        size = self._tokenizer.vocab_size
        self.spec = EncoderSpec("learned", "learned", size, "binary", max_length)

    def token_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(self._tokenizer.ids(text)) + 2 for text in texts]

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        ids = [self._tokenizer.ids(document.full_text()) for document in documents]
        return SparseRows.from_rows({i: row.count(i) for i in row} for row in ids)

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        if self.calls == self._fails_at:
            raise Power
        self.calls += 1
        ids = [self._tokenizer.ids(document.full_text()) for document in documents]
        return SparseRows.from_rows({i: 1 + i % 7 / 8 for i in row} for row in ids)

    def query_side(self) -> QuerySide:
        return QuerySide("wordpiece", default_tokenizer_json())


def records(count: int) -> list[CorpusRecord]:
    return [
        CorpusRecord(Document(f"d{i}", " ".join(WORDS[: i % 11 + 1])), "-", None)
        for i in range(count)
    ]


def spaces(encoder: Learned) -> dict[str, tuple[SpacePart, ...]]:
    return {"default": (SpacePart(PartExpression(1.0, "learned", None, "learned"), encoder),)}


def content(index: Path) -> dict[str, bytes]:
    """Every file of an index; the manifest without its time and its own checksum."""
    files = {
        str(path.relative_to(index)): path.read_bytes()
        for path in sorted(index.rglob("*"))
        if path.is_file() and path.name != "write.lock"
    }
    manifest = read_manifest(index).model_dump(mode="json", exclude={"created_at"})
    files["manifest.json"] = json.dumps(manifest).encode()
    return files


@pytest.fixture
def broken(tmp_path, monkeypatch) -> Path:
    """Where a build of 40 documents ended in its fourth batch of ten."""
    monkeypatch.setattr("indexer.generation.BATCH_DOCUMENTS", 10)
    with pytest.raises(Power):
        build_index(records(40), tmp_path / "index", spaces(Learned(fails_at=3)))
    assert not (tmp_path / "index").exists()
    assert len(list(encoding_directory(tmp_path / "index").glob("*.npz"))) == 3
    return tmp_path / "index"


class TestResume:
    def test_only_the_rest_is_encoded(self, broken, tmp_path):
        encoder = Learned()
        build_index(records(40), broken, spaces(encoder), resume=True)
        assert encoder.calls == 1
        assert not encoding_directory(broken).exists()
        whole = Learned()
        build_index(records(40), tmp_path / "whole", spaces(whole))
        assert whole.calls == 4
        assert content(broken) == content(tmp_path / "whole")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["index", "whole"]

    def test_a_build_that_dies_twice_goes_on(self, broken):
        with pytest.raises(Power):
            build_index(records(60), broken, spaces(Learned(fails_at=1)), resume=True)
        encoder = Learned()
        build_index(records(60), broken, spaces(encoder), resume=True)
        assert encoder.calls == 2

    def test_what_is_there_is_not_thrown_away_unasked(self, broken):
        kept = encoding_directory(broken)
        before = sorted(kept.iterdir())
        with pytest.raises(UnfinishedBuildError, match=r"index\.encoding: .*--resume, or delete"):
            build_index(records(40), broken, spaces(Learned()))
        assert sorted(kept.iterdir()) == before

    @pytest.mark.parametrize(
        ("settings", "encoder", "message"),
        [
            ({"passage_tokens": 20}, {}, "with passage_tokens None; this one has 20"),
            ({"split": False}, {}, "with split True; this one has False"),
            ({}, {"max_length": 64}, r"max_length of default\.learned 512; this one has 64"),
        ],
    )
    def test_other_settings_are_refused(self, broken, settings, encoder, message):
        with pytest.raises(UnfinishedBuildError, match=message):
            build_index(
                records(40),
                broken,
                spaces(Learned(**encoder)),
                settings=BuildSettings(**settings),
                resume=True,
            )
        assert len(list(encoding_directory(broken).glob("*.npz"))) == 3

    def test_settings_that_cut_no_batch_may_change(self, broken):
        encoder = Learned()
        settings = BuildSettings(memory_bytes=1 << 20, segment_rows=20)
        build_index(records(40), broken, spaces(encoder), settings=settings, resume=True)
        assert encoder.calls == 1
        assert len(read_manifest(broken).segments) == 2

    def test_a_lost_record_is_refused(self, broken):
        (encoding_directory(broken) / "build.json").write_text("{")
        with pytest.raises(UnfinishedBuildError, match="does not say with which settings"):
            build_index(records(40), broken, spaces(Learned()), resume=True)

    def test_files_of_others_stay(self, tmp_path):
        folder = encoding_directory(tmp_path / "index")
        folder.mkdir()
        (folder / "thesis.tex").write_text("years of work")
        for resume in (False, True):
            with pytest.raises(UnfinishedBuildError, match="is in the way"):
                build_index(records(5), tmp_path / "index", spaces(Learned()), resume=resume)
        assert (folder / "thesis.tex").read_text() == "years of work"

    def test_nothing_to_go_on_with(self, tmp_path):
        with pytest.raises(Power):
            build_index(records(5), tmp_path / "index", spaces(Learned(fails_at=0)))
        assert list(tmp_path.iterdir()) == []
        report = build_index(records(5), tmp_path / "index", spaces(Learned()), resume=True)
        assert report.documents == 5

    def test_where_no_folder_can_be_made(self, tmp_path, monkeypatch):
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("indexer.encoding._write_record", refuse)
        report = build_index(records(5), tmp_path / "index", spaces(Learned()))
        [warning] = report.warnings
        assert "index.encoding cannot be written (Permission denied)" in warning
        assert report.documents == 5

    def test_additions_go_on_too(self, broken, monkeypatch):
        build_index(records(40), broken, spaces(Learned()), resume=True)
        more = [
            CorpusRecord(Document(f"new{i}", f"{WORDS[i % 9]} {i}"), "-", None) for i in range(30)
        ]
        encoder = Learned(fails_at=2)
        monkeypatch.setattr("indexer.builder.reopen_spaces", lambda _: spaces(encoder))
        with pytest.raises(Power):
            add_documents(broken, more)
        with pytest.raises(UnfinishedBuildError):
            add_documents(broken, more)
        encoder = Learned()
        assert add_documents(broken, more, resume=True).documents == 30
        assert encoder.calls == 1


@pytest.fixture(scope="module")
def checkpoint(write_splade, tmp_path_factory) -> Path:
    """Exported, since processes that load no torch start faster."""
    pytest.importorskip("torch", reason="needs the [encode] extra to export a checkpoint")
    pytest.importorskip("onnx", reason="needs the [encode] extra to export a checkpoint")
    from encoders.onnx_export import export_encoder

    folder = tmp_path_factory.mktemp("encoding")
    export_encoder(write_splade(folder / "checkpoint"), folder / "exported")
    return folder / "exported"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("encoding") / "corpus.jsonl"
    path.write_text(
        "".join(
            json.dumps({"id": f"d{i}", "text": " ".join(WORDS[i % 5 : i % 9 + 2])}) + "\n"
            for i in range(2500)
        )
    )
    return path


def expression(checkpoint: Path) -> str:
    return f"english-bm25 + splade:{checkpoint}?batch_tokens=2048"


def command(checkpoint: Path, source: object, index: Path, *more: object) -> list[str]:
    encoder = expression(checkpoint)
    arguments = ["build", source, "-o", index, "--encoder", encoder, "--format", "jsonl"]
    return [*map(str, [*arguments, *more])]


@pytest.fixture(scope="module")
def alone(checkpoint, corpus, tmp_path_factory) -> Path:
    """The index of one process and one run."""
    index = tmp_path_factory.mktemp("encoding") / "alone"
    build(corpus, index, expression(checkpoint), settings=BuildSettings(memory_bytes=10**9))
    return index


@pytest.mark.torch
def test_the_index_is_the_same_for_any_number_of_workers(
    checkpoint, corpus, alone, indexer, tmp_path
):
    options = ["--workers", 2, "--json", "-q"]
    answer = indexer(*command(checkpoint, corpus, tmp_path / "index", *options))
    assert answer.code == 0, answer.stderr
    assert content(tmp_path / "index") == content(alone)
    words, learned = json.loads(answer.stdout)["parts"]
    assert words["encoding"] is None
    encoding = learned["encoding"]
    assert (encoding["passages"], encoding["found"], encoding["repeated"]) == (2500, 0, 0)
    assert encoding["passages_per_second"] == pytest.approx(2500 / encoding["seconds"])
    assert 0 < encoding["padding"] < 1
    assert indexer("build", corpus, "--workers", 0).code == 2


@pytest.mark.torch
def test_there_is_a_process_per_device_unless_a_number_is_asked_for(
    checkpoint, corpus, alone, indexer, tmp_path, monkeypatch
):
    from encoders import parallel

    made = []

    class Watched(parallel.ParallelEncoder):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self.workers)

    monkeypatch.setattr(parallel, "ParallelEncoder", Watched)
    monkeypatch.setattr(parallel, "devices_of", lambda _: [None, None])
    for options, expected in (([], [2]), (["--workers", 1], [])):
        index = tmp_path / f"index{len(options)}"
        answer = indexer(*command(checkpoint, corpus, index, "-q", *options))
        assert answer.code == 0, answer.stderr
        assert content(index) == content(alone)
        assert made == expected
        made.clear()


@pytest.mark.torch
@pytest.mark.crash
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_is_stopped_leaves_its_rows_and_no_process(
    stop, checkpoint, corpus, alone, indexer, tmp_path
):
    """The signal of Ctrl-C goes to all processes of a terminal, the other one to the first."""
    index = tmp_path / "index"
    process = subprocess.Popen(
        [sys.executable, "-m", "indexer", *command(checkpoint, "-", index, "--workers", 2)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(corpus.read_bytes())  # and no end: the last batch waits for more
    process.stdin.flush()
    folder = encoding_directory(index)
    deadline = time.monotonic() + 100
    while len(list(folder.glob("*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    send = os.killpg if stop == signal.SIGINT else os.kill
    send(process.pid, stop)
    _, errors = process.communicate()
    assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL)
    assert b"Traceback" not in errors
    while _is_alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    again = command(checkpoint, corpus, index, "-q")
    answer = indexer(*again)
    assert answer.code == 1
    assert f"{folder}: holds what a build" in answer.error
    answer = indexer(*again, "--resume")
    assert answer.code == 0, answer.stderr
    assert "encoded 452 passages in " in answer.stdout
    assert "2,048 passages were encoded before" in answer.stdout
    assert content(index) == content(alone)
    assert not folder.exists()


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class Source:
    """A corpus of 1,000 bytes."""

    def __init__(self, total: int | None = 1000) -> None:
        self.bytes_total = total
        self.bytes_read = 0


def test_the_pace_is_that_of_the_last_minute():
    now = [0.0]
    source = Source()
    pace = Pace(source, lambda: now[0])
    assert pace.render() == "0.0/s"
    for seconds, done, read in [(1.0, 500, 100), (2.0, 1000, 200), (52.0, 1100, 220)]:
        now[0], source.bytes_read = seconds, read
        pace.update(done)
    assert pace.render() == f"{1100 / 52:.0f}/s, 0:03:04 left"
    now[0], source.bytes_read = 102.0, 240  # What was read in the first two seconds is forgotten.
    pace.update(1200)
    assert pace.render() == "2.0/s, 0:31:40 left"
    assert Pace(Source(None)).render() == "0.0/s"
    source.bytes_read = 1000  # read ahead to the end, which says nothing of what is to be encoded
    pace.update(1300)
    assert "left" not in pace.render()


def test_errors_have_a_common_base():
    assert issubclass(UnfinishedBuildError, IndexerError)
