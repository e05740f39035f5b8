"""Encoding in several processes: one queue of batches, rows in the order of the documents."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.resource_tracker import ensure_running

from encoders.base import Document, DocumentEncoder, EncoderSpec, QuerySide, SparseRows
from encoders.errors import EncoderError
from encoders.registry import create_encoder
from encoders.splade_base import Batch, Row, SpladeBase, Workload
from kernels.cpu.processors import usable_cpus

BATCHES_PER_THREAD = 2
"""Batches that a process takes at a time, per thread: little waits when a build is broken off."""

ATTEMPTS = 3


class ParallelEncoder:
    """A SPLADE-type encoder whose batches are computed in other processes.

    Texts become tokens and batches here, by the encoder itself; the processes load it again by
    its name and take batches from one queue. So the rows are those of one process, bit for bit.
    When a process dies, the batches that have no rows yet are computed again in new processes;
    when that happens ``ATTEMPTS`` times in one call, the call fails. Call :meth:`close`, or use it
    in a ``with`` statement.

    Attributes:
        repeated: Batches that were computed again after a process died.
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
        self.repeated = 0
        self._encoder = encoder
        self._before = encoder.workload
        self._making = (name, argument, dict(encoder.spec.parameters))
        self._workers = workers
        self._threads = max(1, usable_cpus() // workers)
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
        size = min(BATCHES_PER_THREAD * self._threads, -(-len(batches) // self._workers))
        pieces = [batches[first : first + size] for first in range(0, len(batches), size or 1)]
        done: dict[int, list[list[Row]]] = {}
        for attempt in range(ATTEMPTS):
            missing = [number for number in range(len(pieces)) if number not in done]
            self.repeated += sum(len(pieces[number]) for number in missing) if attempt else 0
            futures: dict[int, Future[list[list[Row]]]] = {}
            try:
                with _interrupts_held_back():
                    pool = self._running_pool()
                    for number in missing:
                        futures[number] = pool.submit(_encode_piece, pieces[number])
                for number, future in futures.items():
                    done[number] = future.result()
                return (rows for number in range(len(pieces)) for rows in done[number])
            except BrokenProcessPool:
                # Some of the others may have been answered before the end.
                for number, future in futures.items():
                    if future.done() and not future.cancelled() and future.exception() is None:
                        done[number] = future.result()
                self.close()
        raise EncoderError(
            f"{self._encoder.checkpoint.directory}: processes that encode ended {ATTEMPTS} times "
            "without an answer, perhaps for lack of memory; use fewer workers or smaller batches "
            "(batch_tokens)."
        )

    def _running_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                # A forked process would share the locks of torch's and numba's threads.
                mp_context=get_context("spawn"),
                initializer=_start,
                initargs=(*self._making, self._threads),
            )
        return self._pool


def in_processes(
    encoder: DocumentEncoder, name: str, argument: str | None, workers: int
) -> DocumentEncoder:
    """The encoder, spread over processes where that pays: with a network and several workers."""
    if workers > 1 and isinstance(encoder, SpladeBase):
        return ParallelEncoder(encoder, name, argument, workers)
    return encoder


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits until the end; processes started here never see it, their parent ends them."""
    ensure_running()  # It starts with the first process otherwise, and lets the signal through.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_encoder: SpladeBase | EncoderError | None = None


def _start(
    name: str, argument: str | None, parameters: dict[str, str | float | bool | None], threads: int
) -> None:
    """Runs first in every process; an error is kept for the first piece to raise."""
    global _encoder
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # Read when the libraries are loaded.
    try:
        made = create_encoder(name, argument, **parameters)
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


def _encode_piece(batches: Sequence[Batch]) -> list[list[Row]]:
    if isinstance(_encoder, EncoderError):
        raise _encoder
    assert _encoder is not None  # noqa: S101 - _start came before
    return list(_encoder.encode_batches(batches))
