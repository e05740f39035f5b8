"""Stored documents of a segment: titles and texts, and typed metadata columns.

``documents.arrow`` (Arrow IPC, batches of at most 1,024 rows) holds ``title`` and ``text`` with
64-bit offsets; ``columns.arrow`` holds one column per metadata field, in a single batch, so that
``pyarrow.compute`` filters run over mapped memory. Identifiers live in the string table
``doc_ids``.
"""

from __future__ import annotations

import bisect
import datetime
import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from encoders.base import Document, MetadataValue
from indexer.errors import IndexCorruptError
from indexer.format.arrays import unreadable

BATCH_ROWS = 1024

TEXT_SCHEMA = pa.schema([("title", pa.large_string()), ("text", pa.large_string())])

ARROW_TYPES: dict[str, pa.DataType] = {
    "keyword": pa.large_string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.timestamp("us", tz="UTC"),
    "keywords": pa.large_list(pa.large_string()),
}


def field_type(value: MetadataValue) -> str:
    """The type name of a metadata value: keyword, integer, float, boolean, date or keywords.

    >>> field_type(3.5)
    'float'
    """
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "float"
    if isinstance(value, datetime.datetime):
        return "date"
    if isinstance(value, str):
        return "keyword"
    return "keywords"


class DocumentWriter:
    """Streams documents of one segment to disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = pa.ipc.new_file(str(directory / "documents.arrow"), TEXT_SCHEMA)
        self._columns: list[dict[str, pa.Array]] = []  # one per batch, absent fields left out
        self._row_counts: list[int] = []
        self._fields: dict[str, str] = {}
        self.doc_ids: list[str] = []

    def add(self, documents: Sequence[Document], fields: Mapping[str, str]) -> None:
        """Appends documents whose metadata fit ``fields``."""
        for start in range(0, len(documents), BATCH_ROWS):
            batch = documents[start : start + BATCH_ROWS]
            self.doc_ids += [document.doc_id for document in batch]
            titles = pa.array([document.title for document in batch], pa.large_string())
            texts = pa.array([document.text for document in batch], pa.large_string())
            self._file.write_batch(pa.record_batch([titles, texts], schema=TEXT_SCHEMA))
            used = sorted({name for document in batch for name in document.metadata})
            self._fields.update((name, fields[name]) for name in used)
            self._row_counts.append(len(batch))
            self._columns.append(
                {
                    name: pa.array(
                        [document.metadata.get(name) for document in batch],
                        ARROW_TYPES[fields[name]],
                    )
                    for name in used
                }
            )

    def close(self) -> None:
        """Finishes both files."""
        self._file.close()
        table = pa.table({name: self._column(name) for name in sorted(self._fields)})
        with pa.ipc.new_file(str(self._directory / "columns.arrow"), table.schema) as file:
            if table.num_columns:
                file.write_table(table)

    def _column(self, name: str) -> pa.Array:
        """One field over all batches."""
        kind = ARROW_TYPES[self._fields[name]]
        pieces = [
            columns.pop(name) if name in columns else pa.nulls(count, kind)
            for columns, count in zip(self._columns, self._row_counts, strict=True)
        ]
        return pa.concat_arrays(pieces)


class DocumentStore:
    """Reads what :class:`DocumentWriter` wrote.

    Files are opened at once, so that they may be deleted, and parsed when they are first needed.
    Nothing in them is trusted: Arrow checks the structure of a file, not what offsets hold.
    """

    def __init__(self, directory: Path, document_count: int, *, memory_map: bool = True) -> None:
        self._document_count = document_count
        self._text_path = directory / "documents.arrow"
        self._column_path = directory / "columns.arrow"
        self._text_source = _source(self._text_path, memory_map)
        self._column_source = _source(self._column_path, memory_map)

    @functools.cached_property
    def columns(self) -> pa.Table:
        """Typed metadata, a column per field that any document of the segment has.

        Raises:
            IndexCorruptError: The file is damaged.
        """
        path = self._column_path
        table: pa.Table = _guard(path, lambda: _read_table(self._column_source))
        if table.num_columns and table.num_rows != self._document_count:
            raise IndexCorruptError(path, f"does not hold {self._document_count} rows")
        if not all(kind in ARROW_TYPES.values() for kind in table.schema.types):
            raise IndexCorruptError(path, "unexpected types of columns")
        return table

    def text_batches(self) -> list[pa.RecordBatch]:
        """Titles and texts as mapped batches, checked to the last byte.

        Raises:
            IndexCorruptError: The file is damaged.
        """
        batches = self._unchecked_batches()
        for batch in batches:
            _guard(self._text_path, functools.partial(batch.validate, full=True))
        return batches

    def _unchecked_batches(self) -> list[pa.RecordBatch]:
        path = self._text_path
        batches: list[pa.RecordBatch] = _guard(path, lambda: _read_batches(self._text_source))
        if any(batch.schema != TEXT_SCHEMA for batch in batches):
            raise IndexCorruptError(path, "unexpected columns")
        if sum(batch.num_rows for batch in batches) != self._document_count:
            raise IndexCorruptError(path, f"does not hold {self._document_count} documents")
        return batches

    @functools.cached_property
    def _texts(self) -> tuple[list[int], list[tuple[_Strings, _Strings]]]:
        """First document of each batch (and the end), and titles and texts per batch."""
        path = self._text_path
        batches = self._unchecked_batches()
        starts = list(accumulate((batch.num_rows for batch in batches), initial=0))
        titles, texts = ([_Strings(path, batch.column(i)) for batch in batches] for i in (0, 1))
        return starts, list(zip(titles, texts, strict=True))

    def title(self, doc_num: int) -> str:
        """Title of a document."""
        return self._value(0, doc_num)

    def text(self, doc_num: int) -> str:
        """Text of a document."""
        return self._value(1, doc_num)

    def _value(self, column: int, doc_num: int) -> str:
        starts, batches = self._texts
        at = bisect.bisect_right(starts, doc_num) - 1
        return batches[at][column][doc_num - starts[at]]

    def metadata(self, doc_num: int) -> dict[str, MetadataValue]:
        """Metadata of a document, absent fields left out."""
        result: dict[str, MetadataValue] = {}
        for name in self.columns.column_names:
            value = _guard(self._column_path, self.columns.column(name)[doc_num].as_py)
            if value is not None:
                result[name] = tuple(value) if isinstance(value, list) else value
        return result


class _Strings:
    """Strings of one Arrow array, each checked when it is read: whole files are too long for it."""

    def __init__(self, path: Path, array: pa.Array) -> None:
        _, offsets, data = array.buffers()
        self._path = path
        self._data = b"" if data is None else memoryview(data)
        if len(array) and (offsets is None or offsets.size < 8 * (len(array) + 1)):
            raise IndexCorruptError(path, "offsets are missing")
        self._offsets = np.frombuffer(offsets or b"", np.int64, len(array) and len(array) + 1)

    def __getitem__(self, number: int) -> str:
        start, end = self._offsets[number : number + 2].tolist()
        if not 0 <= start <= end <= len(self._data):
            raise IndexCorruptError(self._path, "a text lies outside the file")
        return _guard(self._path, lambda: str(self._data[start:end], "utf-8"))


def _source(path: Path, memory_map: bool) -> pa.NativeFile:
    try:
        return pa.memory_map(str(path)) if memory_map else pa.BufferReader(path.read_bytes())
    except FileNotFoundError:
        raise IndexCorruptError(path, "the file is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _read_batches(source: pa.NativeFile) -> list[pa.RecordBatch]:
    file = pa.ipc.open_file(source)
    return [file.get_batch(number) for number in range(file.num_record_batches)]


def _read_table(source: pa.NativeFile) -> pa.Table:
    table = pa.ipc.open_file(source).read_all()
    table.validate(full=True)
    return table


def _guard(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise IndexCorruptError(path, f"not a readable Arrow file ({reason})") from None
