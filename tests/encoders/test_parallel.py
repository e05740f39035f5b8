"""Encoding in several processes gives the rows of one, whatever dies; rows are kept on disk."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from encoders import parallel
from encoders.base import Document
from encoders.errors import CheckpointError, EncoderError
from encoders.parallel import ParallelEncoder, in_processes
from encoders.registry import create_encoder
from encoders.row_cache import RowCache

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra to export a checkpoint")
pytest.importorskip("onnx", reason="needs the [encode] extra to export a checkpoint")

DOCUMENTS = [
    Document(str(number), "the red planet in new york " * (number % 7)) for number in range(30)
]


@pytest.fixture(scope="module")
def exported(write_splade, tmp_path_factory) -> str:
    from encoders.onnx_export import export_encoder

    folder = tmp_path_factory.mktemp("parallel")
    export_encoder(write_splade(folder / "checkpoint"), folder / "exported")
    return str(folder / "exported")


def assert_same(found, expected):
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.dimensions, expected.dimensions)
    np.testing.assert_array_equal(found.weights, expected.weights)


def kill_one(encoder: ParallelEncoder) -> None:
    """Kills a process, and waits until it is gone: the other one might answer everything."""
    process = next(iter(encoder._pool._processes.values()))
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def test_rows_of_processes_that_die(exported):
    argument = f"{exported}?prune=top_k:9&batch_tokens=64"
    encoder = create_encoder("splade", argument)
    expected = encoder.encode_documents(DOCUMENTS)
    with in_processes(encoder, "splade", argument, 2) as spread:
        assert isinstance(spread, ParallelEncoder)
        assert spread.spec == encoder.spec
        assert_same(spread.encode_documents(DOCUMENTS), expected)
        assert spread.repeated == 0
        assert spread.workload.documents == len(DOCUMENTS)
        assert spread.workload.padded_tokens >= spread.workload.tokens > 0
        assert len(spread.encode_documents([])) == 0
        kill_one(spread)
        assert_same(spread.encode_documents(DOCUMENTS), expected)
        assert spread.repeated > 0


def test_processes_that_keep_dying_are_reported(exported, monkeypatch):
    encoder = create_encoder("splade", exported)
    monkeypatch.setattr(parallel, "ATTEMPTS", 1)
    with ParallelEncoder(encoder, "splade", exported, 1) as spread:
        spread.encode_documents(DOCUMENTS)
        kill_one(spread)
        with pytest.raises(EncoderError, match="fewer workers"):
            spread.encode_documents(DOCUMENTS)
    gone = ParallelEncoder(encoder, "splade", f"{exported}-gone", 1)
    with gone, pytest.raises(CheckpointError, match="-gone"):
        gone.encode_documents(DOCUMENTS)
    with pytest.raises(EncoderError, match="at least one worker"):
        ParallelEncoder(encoder, "splade", exported, 0)
    assert in_processes(encoder, "splade", exported, 1) is encoder


def test_rows_are_read_again_unless_something_differs(exported, tmp_path):
    encoder = create_encoder("splade", exported)
    expected = encoder.encode_documents(DOCUMENTS)
    first = RowCache(encoder, tmp_path / "rows")
    assert_same(first.encode_documents(DOCUMENTS), expected)
    assert first.found == 0
    again = RowCache(encoder, tmp_path / "rows")
    assert_same(again.encode_documents(DOCUMENTS), expected)
    assert again.found == len(DOCUMENTS)
    assert again.encode_documents(DOCUMENTS[2:]).nnz < expected.nnz
    other = RowCache(create_encoder("splade", f"{exported}?prune=top_k:3"), tmp_path / "rows")
    assert np.diff(other.encode_documents(DOCUMENTS).indptr).max() == 3
    assert other.found == 0
    for path in (tmp_path / "rows").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    damaged = RowCache(encoder, tmp_path / "rows")
    assert_same(damaged.encode_documents(DOCUMENTS), expected)
    assert damaged.found == 0
