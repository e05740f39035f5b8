"""Damage to any file is found, and whatever the files hold, a search ends in an answer or an error.

Searches of damaged indexes run in processes of their own (``damage.py``), with bounds checks
compiled into the kernels, so that a read or write outside an array is an error too.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import IndexCorruptError, IndexNotFoundError
from indexer.format.postings import Postings, read_postings, write_postings
from retriever.searcher import open_index

INDEXES = ["word_index", pytest.param("splade_index", marks=pytest.mark.torch)]


@pytest.fixture(params=INDEXES)
def index(request, tmp_path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(request.getfixturevalue(request.param), tmp_path / "index"))


def files_of(index: Path) -> list[Path]:
    paths = sorted(path for path in index.rglob("*") if path.is_file())
    return [path for path in paths if path.name != "write.lock"]


@pytest.mark.parametrize("place", ["first", "middle", "last", "random"])
def test_verify_finds_a_flipped_bit_in_every_file(index, indexer, place):
    """All files but the manifest are damaged at once: each is checked by itself."""
    rng = random.Random(place)
    manifest = index / "manifest.json"
    files = [path for path in files_of(index) if path != manifest]
    assert len(files) > 100
    for path in files:
        flip_a_bit(path, place, rng)
    answer = indexer("verify", index)
    assert answer.code == 1
    named = {line.partition(": ")[0] for line in answer.stderr.splitlines()}
    assert named == set(map(str, files))
    for _ in range(10):
        content = manifest.read_bytes()
        flip_a_bit(manifest, place, rng)
        answer = indexer("verify", index)
        assert answer.code == 1
        assert str(manifest) in answer.error
        manifest.write_bytes(content)


def flip_a_bit(path: Path, place: str, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    places = {"first": 0, "middle": len(content) // 2, "last": len(content) - 1}
    content[places.get(place, rng.randrange(len(content)))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def test_verify_tells_missing_files_from_changed_ones(index, indexer):
    assert "all as written" in indexer("verify", index).stdout
    files = [path for path in files_of(index) if path.name != "manifest.json"]
    gone, empty, changed = random.Random(1).sample(files, 3)
    gone.unlink()
    empty.write_bytes(b"")
    flip_a_bit(changed, "middle", random.Random(1))
    answer = indexer("verify", index)
    assert answer.code == 1
    assert "3 damaged" in answer.stdout
    problems = dict(line.split(": ", 1) for line in answer.stderr.splitlines())
    assert problems[str(gone)] == "No such file or directory"
    assert problems[str(empty)].startswith("0 bytes, expected ")
    assert problems[str(changed)] == "its content does not match its checksum"
    assert len(problems) == 3


def test_a_missing_or_shortened_file_is_named_at_opening(index):
    rng = random.Random(3)
    for path in {path.name: path for path in files_of(index)}.values():
        content = path.read_bytes()
        longer, shorter = content + b"\0", content[: len(content) // 2]
        for damage in (None, rng.choice([shorter, longer, b"", b"something else"])):
            path.unlink(missing_ok=True)
            if damage is not None:
                path.write_bytes(damage)
            missing = IndexNotFoundError if path.name == "manifest.json" else IndexCorruptError
            with pytest.raises(missing if damage is None else IndexCorruptError) as error:
                open_index(index)
            assert path.name in str(error.value)
        path.write_bytes(content)
    assert open_index(index).search("red planet").hits


@pytest.mark.parametrize("kind", INDEXES)
def test_no_damage_crashes_a_search(kind, request, tmp_path, checked_kernels):
    index = shutil.copytree(request.getfixturevalue(kind), tmp_path / "index")
    seed, count = 2026, 60
    script = Path(__file__).with_name("damage.py")
    done = subprocess.run(
        [sys.executable, script, index, str(seed), str(count)],
        env=checked_kernels,
        capture_output=True,
        text=True,
        timeout=240,
    )
    cases = re.findall(rf"^{seed}/\d+: ", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert len(cases) == count


def evil_postings(**changed: np.ndarray) -> Postings:
    """Postings of two dimensions and 64 rows, one rare and one windowed, with arrays replaced."""
    arrays = {
        "posting_start": np.array([0, 40, 80]),
        "local_ids": np.tile(np.arange(40, dtype=np.uint16), 2),
        "impacts": np.full(80, 9, np.uint8),
        "rare_windows": np.zeros(40, np.uint16),
        "rare_start": np.array([0, 40, 40]),
        "directory": np.array([-1, 0], np.int32),
        "window_start": np.array([[0, 40]], np.uint32),
        "window_max": np.full((1, 1), 9, np.uint8),
        "columns": np.zeros((0, 64), np.uint8),
        "column_max": np.zeros((0, 1), np.uint8),
        "max_impact": np.full(2, 9, np.uint8),
    }
    arrays |= {
        "kth_impact": np.zeros((2, 4), np.uint8),
        "head_start": np.zeros(3, np.int64),
        "head_rows": np.zeros(0, np.uint32),
        "head_impacts": np.zeros(0, np.uint8),
    }
    return Postings(**(arrays | changed), window_bits=6, row_count=64)


SEARCH_POSTINGS = """
import sys
from pathlib import Path
import numpy as np
from indexer.format.postings import read_postings
from kernels.cpu.search import search_postings

for folder in sys.argv[1:]:
    postings = read_postings(Path(folder), "x", 64, 6)
    for dimensions in ([0], [1], [0, 1]):
        for k in (1, 64):
            used = np.array(dimensions)
            search_postings(postings, used, np.ones(len(used), np.int64), k)
"""


def test_more_postings_than_rows_stay_within_the_scratch_memory(tmp_path, checked_kernels):
    """A damaged list may hold one window's number, or one row's, any number of times."""
    many = {
        "posting_start": np.array([0, 200, 240]),
        "local_ids": np.zeros(240, np.uint16),
        "impacts": np.full(240, 9, np.uint8),
        "rare_windows": np.zeros(200, np.uint16),
        "rare_start": np.array([0, 200, 200]),
    }
    folders = [tmp_path / "fine", tmp_path / "many"]
    for folder, changed in zip(folders, ({}, many), strict=True):
        folder.mkdir()
        write_postings(folder, "x", evil_postings(**changed))
    done = subprocess.run(
        [sys.executable, "-c", SEARCH_POSTINGS, *folders],
        env=checked_kernels,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("window_start", np.array([[0, 41]], np.uint32)),
        ("window_start", np.array([[1, 40]], np.uint32)),
        ("posting_start", np.array([0, 41, 80])),
        ("posting_start", np.array([0, 90, 80])),
        ("posting_start", np.array([-5, 40, 80])),
        ("posting_start", np.array([0, 40, 2**62])),
        ("rare_start", np.array([0, 0, 40])),
        ("directory", np.array([-1, 1], np.int32)),
        ("directory", np.array([-1, -2], np.int32)),
        ("directory", np.array([0, 0], np.int32)),
        ("directory", np.array([-(2**31), 0], np.int32)),
        ("local_ids", np.zeros(79, np.uint16)),
        ("max_impact", np.zeros(3, np.uint8)),
        ("columns", np.zeros((1, 65), np.uint8)),
    ],
)
def test_offsets_that_lead_outside_are_refused(tmp_path, name, array):
    write_postings(tmp_path, "x", evil_postings(**{name: array}))
    with pytest.raises(IndexCorruptError, match=r"x\.postings\."):
        read_postings(tmp_path, "x", 64, 6)


def test_a_window_of_too_many_postings_is_refused(tmp_path):
    changed = {
        "posting_start": np.array([0, 40, 140]),
        "local_ids": np.zeros(140, np.uint16),
        "impacts": np.ones(140, np.uint8),
        "window_start": np.array([[0, 100]], np.uint32),
    }
    write_postings(tmp_path, "x", evil_postings(**changed))
    with pytest.raises(IndexCorruptError, match="window_start"):
        read_postings(tmp_path, "x", 64, 6)


def test_a_window_shared_by_two_dimensions_is_refused(tmp_path):
    """Each of the two would pass alone; the longer one would be read past the end."""
    changed = {
        "posting_start": np.array([0, 50, 80]),
        "rare_windows": np.zeros(0, np.uint16),
        "rare_start": np.zeros(3, np.int64),
        "directory": np.array([0, 0], np.int32),
        "window_start": np.array([[0, 30]], np.uint32),
    }
    write_postings(tmp_path, "x", evil_postings(**changed))
    with pytest.raises(IndexCorruptError, match="window_start"):
        read_postings(tmp_path, "x", 64, 6)
