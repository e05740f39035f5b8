"""Copies the stored documents of several segments into the files of a new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from indexer.format.documents import BATCH_ROWS, TEXT_SCHEMA, DocumentStore

Kept = tuple[DocumentStore, NDArray[np.bool_]]
"""Documents of a segment, and which of them are kept."""


def merge_documents(directory: Path, sources: Sequence[Kept]) -> None:
    """Writes ``documents.arrow`` and ``columns.arrow``: kept documents, in order.

    Args:
        directory: The new segment.
        sources: Documents of each segment.

    Raises:
        IndexCorruptError: A file of a source is damaged.
    """
    with pa.ipc.new_file(str(directory / "documents.arrow"), TEXT_SCHEMA) as file:
        for batch in _full_batches(sources):
            file.write_batch(batch)
    names = sorted({name for store, _ in sources for name in store.columns.column_names})
    table = pa.table({name: _column(name, sources) for name in names})
    with pa.ipc.new_file(str(directory / "columns.arrow"), table.schema) as file:
        if table.num_columns:
            file.write_table(table)


def text_lengths(store: DocumentStore) -> NDArray[np.int64]:
    """Characters of each document's text, int64[documents]."""
    batches = store.text_batches()
    lengths = [pc.utf8_length(batch.column("text")).to_numpy() for batch in batches]
    return np.concatenate([np.zeros(0, dtype=np.int64), *lengths])


def _full_batches(sources: Sequence[Kept]) -> Iterator[pa.RecordBatch]:
    """Kept texts, ``BATCH_ROWS`` at a time however small the batches were."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for store, kept in sources:
        first = 0
        for batch in store.text_batches():
            chosen = batch.filter(pa.array(kept[first : first + batch.num_rows]))
            first += batch.num_rows
            while chosen.num_rows:
                piece = chosen.slice(0, BATCH_ROWS - count)
                chosen = chosen.slice(piece.num_rows)
                waiting.append(piece)
                count += piece.num_rows
                if count == BATCH_ROWS:
                    yield _joined(waiting)
                    waiting, count = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    arrays = [pa.concat_arrays([b.column(i) for b in batches]) for i in range(len(TEXT_SCHEMA))]
    return pa.record_batch(arrays, schema=TEXT_SCHEMA)


def _column(name: str, sources: Sequence[Kept]) -> pa.Array:
    """A metadata field over all sources; it is of one type throughout an index."""
    kind = next(
        store.columns.schema.field(name).type
        for store, _ in sources
        if name in store.columns.column_names
    )
    pieces = []
    for store, kept in sources:
        if name in store.columns.column_names:
            pieces += store.columns.column(name).filter(pa.array(kept)).chunks
        else:
            pieces.append(pa.nulls(int(np.count_nonzero(kept)), kind))
    return pa.concat_arrays(pieces) if pieces else pa.array([], kind)
