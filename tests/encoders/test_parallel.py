"""Encoding in several processes gives the rows of one, whatever dies; rows are kept on disk."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

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
def checkpoint(write_splade, tmp_path_factory) -> str:
    return str(write_splade(tmp_path_factory.mktemp("parallel") / "checkpoint"))


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory) -> str:
    from encoders.onnx_export import export_encoder

    folder = tmp_path_factory.mktemp("parallel") / "exported"
    export_encoder(Path(checkpoint), folder)
    return str(folder)


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
        batches = spread.batches["cpu"]
        assert batches > 1
        assert len(spread.encode_documents([])) == 0
        kill_one(spread)
        assert_same(spread.encode_documents(DOCUMENTS), expected)
        assert spread.repeated > 0
        assert spread.batches == {"cpu": 2 * batches}


def test_every_process_has_its_own_device(checkpoint, monkeypatch):
    """Two names of the CPU stand for two GPUs."""
    encoder = create_encoder("splade", checkpoint, device="cpu", batch_tokens=64)
    expected = encoder.encode_documents(DOCUMENTS)
    monkeypatch.setattr(parallel, "devices_of", lambda _: ["cpu", "cpu:0"])
    assert in_processes(encoder, "splade", checkpoint, 1) is encoder  # asked for, so it wins
    spread = in_processes(encoder, "splade", checkpoint)
    assert isinstance(spread, ParallelEncoder)
    assert spread.workers == 2
    deadline = time.monotonic() + 100
    with spread:
        # The first process may have done everything before the second one has loaded.
        while set(spread.batches) != {"cpu", "cpu:0"}:
            assert_same(spread.encode_documents(DOCUMENTS), expected)
            assert time.monotonic() < deadline


def test_processes_share_out_devices_by_their_numbers(checkpoint, monkeypatch):
    monkeypatch.setattr(parallel, "_encoder", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    started, found = get_context("spawn").Value("i", 0), []
    for _ in range(3):
        parallel._start(started, ["cpu", "cpu:0"], 1, "splade", checkpoint, {})
        found += parallel.devices_of(parallel._encoder)
    assert found == ["cpu", "cpu:0", "cpu"]


def test_a_device_given_as_a_value_is_that_of_the_processes(checkpoint):
    encoder = create_encoder("splade", checkpoint, device="cpu:0")
    with ParallelEncoder(encoder, "splade", checkpoint, 1) as spread:
        spread.encode_documents(DOCUMENTS)
        assert set(spread.batches) == {"cpu:0"}


def test_devices_are_all_gpus_unless_one_was_chosen(exported, monkeypatch):
    import torch

    def on(name):
        return SimpleNamespace(language_model=SimpleNamespace(device=torch.device(name)))

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert parallel.devices_of(on("cuda")) == ["cuda:0", "cuda:1", "cuda:2"]
    assert parallel.devices_of(on("cuda:1")) == ["cuda:1"]
    assert parallel.devices_of(on("cpu")) == ["cpu"]
    # Without torch: the CPU, and one process unless more are asked for.
    encoder = create_encoder("splade", exported)
    assert parallel.devices_of(encoder) == [None]
    assert in_processes(encoder, "splade", exported) is encoder
    words = create_encoder("english-bm25")
    assert in_processes(words, "english-bm25", None, 4) is words


def test_a_gpu_takes_few_batches_at_a_time(exported, monkeypatch):
    """It computes them one after the other, however many threads the CPU has."""
    monkeypatch.setattr(parallel, "usable_cpus", lambda: 64)
    encoder = create_encoder("splade", exported)
    threads = parallel.BATCHES_PER_THREAD
    assert ParallelEncoder(encoder, "splade", exported, 2)._batches_at_a_time == 32 * threads
    monkeypatch.setattr(parallel, "devices_of", lambda _: ["cuda:0", "cuda:1"])
    assert ParallelEncoder(encoder, "splade", exported, 2)._batches_at_a_time == threads


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
