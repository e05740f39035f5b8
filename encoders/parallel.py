"""Encoding in several processes: one queue of batches, rows in the order of the documents.

Where there are several GPUs, each process has one of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.resource_tracker import ensure_running
from typing import TYPE_CHECKING

from encoders.base import Document, DocumentEncoder, EncoderSpec, QuerySide, SparseRows
from encoders.errors import EncoderError
from encoders.registry import create_encoder
from encoders.splade_base import Batch, Row, SpladeBase, Workload
from kernels.cpu.processors import usable_cpus

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

BATCHES_PER_THREAD = 2
"""Batches that a process takes at a time, per thread that computes batches: little waits when a
build is broken off. A GPU counts as one thread."""

ATTEMPTS = 3


class ParallelEncoder:
    """A SPLADE-type encoder whose batches are computed in other processes.

    Texts become tokens and batches here, by the encoder itself; the processes load it again by
    its name and take batches from one queue. So the rows are those of one process, bit for bit
    (on GPUs, if these are alike). Process ``i`` computes on device ``i`` of :func:`devices_of`,
    which start over where there are more processes. When a process dies, the batches that have no
    rows yet are computed again in new processes; when that happens ``ATTEMPTS`` times in one call,
    the call fails. Call :meth:`close`, or use it in a ``with`` statement.

    The queue holds the batches of one call, and runs empty at its end. To fill it with those of the
    next call, a build would have to read on before it keeps the rows that are there. Where its
    source waits, as standard input may, these would be lost with the build, and ``--resume`` would
    encode them again.

    Attributes:
        workers: Number of processes.
        repeated: Batches that were computed again after a process died.
        batches: Batches whose rows came back, by device.
    """

    def __init__(self, encoder: SpladeBase, name: str, argument: str | None, workers: int) -> None:
        """Prepares; the processes start with the first documents.

        Args:
            encoder: The encoder in this process.
            name: Under which the registry makes it again.
            argument: The same.
            workers: Number of processes, from 1.

        Raises:
            EncoderError: ``workers`` is below 1.
        """
        if workers < 1:
            raise EncoderError(f"encoding needs at least one worker, got {workers}.")
        self.workers = workers
        self.repeated = 0
        self.batches: Counter[str] = Counter()
        self._encoder = encoder
        self._before = encoder.workload
        self._making = (name, argument, dict(encoder.spec.parameters))
        self._devices = devices_of(encoder)
        self._threads = max(1, usable_cpus() // workers)
        on_cpu = self._devices[0] is None or self._devices[0].startswith("cpu")
        self._batches_at_a_time = BATCHES_PER_THREAD * (self._threads if on_cpu else 1)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> ParallelEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    @property
    def spec(self) -> EncoderSpec:
        """That of the encoder."""
        return self._encoder.spec

    @property
    def workload(self) -> Workload:
        """What was encoded so far."""
        return self._encoder.workload - self._before

    @property
    def batch_tokens(self) -> int:
        """That of the encoder."""
        return self._encoder.batch_tokens

    @property
    def special_token_count(self) -> int:
        """That of the encoder."""
        return self._encoder.special_token_count

    def token_lengths(self, texts: Sequence[str]) -> list[int]:
        """Those of the encoder."""
        return self._encoder.token_lengths(texts)

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Those of the encoder."""
        return self._encoder.count_tokens(documents)

    def query_side(self) -> QuerySide:
        """That of the encoder."""
        return self._encoder.query_side()

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Rows of learned weights, one per document, in order.

        Raises:
            EncoderError: The encoder refuses the documents, or processes keep dying.
        """
        return self._encoder.encode_with(self._encode_batches, documents)

    def _encode_batches(self, batches: Sequence[Batch]) -> Iterator[list[Row]]:
        """Rows of each batch, in order; the longest come first, so that no process ends late."""
        size = min(self._batches_at_a_time, -(-len(batches) // self.workers))
        pieces = [batches[first : first + size] for first in range(0, len(batches), size or 1)]
        done: dict[int, list[list[Row]]] = {}
        for attempt in range(ATTEMPTS):
            missing = [number for number in range(len(pieces)) if number not in done]
            self.repeated += sum(len(pieces[number]) for number in missing) if attempt else 0
            futures: dict[int, Future[_Answer]] = {}
            try:
                with _interrupts_held_back():
                    pool = self._running_pool()
                    for number in missing:
                        futures[number] = pool.submit(_encode_piece, pieces[number])
                for number, future in futures.items():
                    done[number] = self._answered(future)
                return (rows for number in range(len(pieces)) for rows in done[number])
            except BrokenProcessPool:
                # Some of the others may have been answered before the end.
                for number, future in futures.items():
                    if number in done or not future.done() or future.cancelled():
                        continue
                    if future.exception() is None:
                        done[number] = self._answered(future)
                self.close()
        raise EncoderError(
            f"{self._encoder.checkpoint.directory}: processes that encode ended {ATTEMPTS} times "
            "without an answer, perhaps for lack of memory; use fewer workers or smaller batches "
            "(batch_tokens)."
        )

    def _answered(self, future: Future[_Answer]) -> list[list[Row]]:
        device, rows = future.result()
        self.batches[device] += len(rows)
        return rows

    def _running_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # A forked process would share the locks of torch's and numba's threads.
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=context,
                initializer=_start,
                initargs=(context.Value("i", 0), self._devices, self._threads, *self._making),
            )
        return self._pool


def in_processes(
    encoder: DocumentEncoder, name: str, argument: str | None, workers: int | None = None
) -> DocumentEncoder:
    """The encoder, spread over processes where that pays: with a network and several workers.

    Args:
        encoder: The encoder in this process.
        name: Under which the registry makes it again.
        argument: The same.
        workers: Number of processes; by default one per device.
    """
    if not isinstance(encoder, SpladeBase):
        return encoder
    workers = len(devices_of(encoder)) if workers is None else workers
    return ParallelEncoder(encoder, name, argument, workers) if workers > 1 else encoder


def devices_of(encoder: SpladeBase) -> list[str | None]:
    """What the processes of an encoder compute on, as the setting ``device`` takes it.

    That is every CUDA device where the encoder runs on CUDA and none was chosen by number, else
    the one device of the encoder itself; ``None`` where its engine has no torch.
    """
    language_model = getattr(encoder, "language_model", None)
    if language_model is None:
        return [encoder.options.device]
    device = language_model.device
    if device.type == "cuda" and device.index is None:
        import torch

        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [str(device)]


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits until the end; processes started here never see it, their parent ends them."""
    ensure_running()  # It starts with the first process otherwise, and lets the signal through.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_Answer = tuple[str, list[list[Row]]]
"""A device, and the rows of each batch that was computed there."""

_encoder: SpladeBase | EncoderError | None = None


def _start(
    started: Synchronized[int],
    devices: Sequence[str | None],
    threads: int,
    name: str,
    argument: str | None,
    parameters: dict[str, str | float | bool | None],
) -> None:
    """Runs first in every process; an error is kept for the first piece to raise.

    Args:
        started: How many processes of the pool came before: the next one's number.
        devices: Those that the processes share out among them by their numbers.
        threads: That a process may use.
        name: Of the encoder.
        argument: The same.
        parameters: The same.
    """
    global _encoder
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # Read when the libraries are loaded.
    with started.get_lock():
        number = started.value
        started.value += 1
    try:
        # The device is no part of the spec, and one that was given as a value not of the argument.
        device = devices[number % len(devices)]
        made = create_encoder(name, argument, **parameters, device=device)
    except EncoderError as error:
        _encoder = error
        return
    assert isinstance(made, SpladeBase)  # noqa: S101 - in_processes passes no others
    _encoder = made


def _end_with_parent() -> None:
    """Ends this process when its parent was killed, which closes no queue."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode_piece(batches: Sequence[Batch]) -> _Answer:
    if isinstance(_encoder, EncoderError):
        raise _encoder
    assert _encoder is not None  # noqa: S101 - _start came before
    return devices_of(_encoder)[0] or "cpu", list(_encoder.encode_batches(batches))
