"""Small indexes that have one of everything, and the command line in this process."""

from __future__ import annotations

import datetime
import io
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from encoders.base import Document
from indexer import sealing
from indexer.builder import add_documents, build, delete_documents
from indexer.cli import main
from indexer.corpus.records import CorpusRecord
from indexer.format import postings as layout
from indexer.format.manifest import read_manifest
from indexer.format.segment import Segment
from indexer.settings import BuildSettings, Order

TEXT = (
    "red planet weather rain new york query table sparse dense model index token weight search "
    "engine learned mars venus saturn jupiter word piece vector space document passage score"
)
WORDS = TEXT.split()
COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The last line of standard error."""
        return self.stderr.splitlines()[-1]


Indexer = Callable[..., Answer]


@pytest.fixture
def indexer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Indexer:
    """Runs ``indexer ARGUMENTS`` in this process."""

    def run(*arguments: object, stdin: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "argv", ["indexer", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        return Answer(int(stop.value.code or 0), *capsys.readouterr())

    return run


def documents(count: int, seed: int = 0) -> Iterator[Document]:
    """Documents with metadata of all types, some of them long."""
    rng = random.Random(seed)
    frequency = [1 / (i + 1) for i in range(len(WORDS))]
    for number in range(count):
        length = 900 if number % 17 == 3 else rng.randrange(1, 25)
        words = rng.choices(WORDS, frequency, k=length)
        text = ". ".join(" ".join(words[i : i + 8]) for i in range(0, length, 8))
        yield Document(
            f"s{seed}d{number}",
            text,
            title=f"On {words[0]} — überall {number}" if number % 3 else "",
            metadata={
                "year": 1990 + number % 30,
                "price": number / 7,
                "sold": number % 2 == 0,
                "colour": COLOURS[number % 3],
                "tags": tuple(sorted(set(words[:2]))),
                "added": datetime.datetime(2024, 1, 1 + number % 28, tzinfo=datetime.UTC),
            },
        )


def build_everything(
    directory: Path, spaces: dict[str, str], order: Order, vectors: str = "none"
) -> Path:
    """Two segments from the build and one added, deletions, several windows, all forms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "window_bits_for", lambda rows: 6)
        patch.setattr(layout, "RARE_FACTOR", 2)
        patch.setattr(layout, "DENSE_FRACTION", 0.4)
        patch.setattr("indexer.generation.BATCH_DOCUMENTS", 50)
        settings = BuildSettings(segment_rows=100, order=order)
        build(documents(150), directory, spaces, settings=settings, vectors=vectors)
        delete_documents(directory, [f"s0d{number}" for number in range(0, 150, 9)])
        records = (CorpusRecord(document, "-", None) for document in documents(60, seed=1))
        add_documents(directory, records)
    manifest = read_manifest(directory)
    segments = [Segment(directory, entry, manifest.spaces) for entry in manifest.segments]
    assert len(segments) >= 3
    assert any(segment.tombstones is not None for segment in segments)
    assert any(segment.passage_span is not None for segment in segments)
    for name in spaces:
        forms = [form for s in segments for form in s.spaces[name].postings.directory.tolist()]
        assert min(forms) <= -2
        assert max(forms) >= 0
        assert -1 in forms
    return directory


@pytest.fixture(scope="session")
def word_index(tmp_path_factory: pytest.TempPathFactory, vectors_directory: Path) -> Path:
    """An index of two spaces of words, with static vectors; tests do not change it."""
    spaces = {"words": "english-bm25", "both": "plain-bm25 + 0.5*english-bm25"}
    path = tmp_path_factory.mktemp("words") / "index"
    return build_everything(path, spaces, "bisected", str(vectors_directory))


@pytest.fixture(scope="session")
def splade_index(tmp_path_factory: pytest.TempPathFactory, write_router: Callable) -> Path:
    """An index of two spaces, one with a part of learned weights; tests do not change it."""
    folder = tmp_path_factory.mktemp("splade")
    checkpoint = write_router(folder / "checkpoint")
    spaces = {"words": "english-bm25", "both": f"english-bm25 + 0.5*splade:{checkpoint}"}
    return build_everything(folder / "index", spaces, "arrival")
