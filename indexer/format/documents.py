"""Stored documents of a segment: titles and texts, and typed metadata columns.

``documents.arrow`` (Arrow IPC, batches of at most 1,024 rows) holds ``title`` and ``text`` with
64-bit offsets; ``columns.arrow`` holds one column per metadata field, in a single batch, so that
``pyarrow.compute`` filters run over mapped memory. Identifiers live in the string table
``doc_ids``.
"""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from encoders.base import Document, MetadataValue
from indexer.errors import IndexCorruptError

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
        self._pending: list[Document] = []
        self._columns: list[pa.Table] = []
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
            columns = {
                name: pa.array(
                    [document.metadata.get(name) for document in batch],
                    ARROW_TYPES[fields[name]],
                )
                for name in used
            }
            # A table without columns has no rows: this one keeps the count.
            columns["~row"] = pa.nulls(len(batch))
            self._columns.append(pa.table(columns))

    def close(self) -> None:
        """Finishes both files."""
        self._file.close()
        empty = pa.table({"~row": pa.nulls(0)})
        table = pa.concat_tables([empty, *self._columns], promote_options="default")
        table = table.drop_columns("~row")
        table = table.combine_chunks().select(sorted(table.column_names))
        with pa.ipc.new_file(str(self._directory / "columns.arrow"), table.schema) as file:
            if table.num_columns:
                file.write_table(table)


class DocumentStore:
    """Reads what :class:`DocumentWriter` wrote."""

    def __init__(self, directory: Path, document_count: int, *, memory_map: bool = True) -> None:
        texts = _open(directory / "documents.arrow", memory_map)
        path = directory / "documents.arrow"
        if texts.schema != TEXT_SCHEMA:
            raise IndexCorruptError(path, "unexpected columns")
        self._batches = _guard(
            path, lambda: [texts.get_batch(i) for i in range(texts.num_record_batches)]
        )
        self._starts = [0]
        for batch in self._batches:
            self._starts.append(self._starts[-1] + batch.num_rows)
        if self._starts[-1] != document_count:
            raise IndexCorruptError(path, f"does not hold {document_count} documents")
        path = directory / "columns.arrow"
        self.columns: pa.Table = _guard(path, _open(path, memory_map).read_all)
        if self.columns.num_columns and self.columns.num_rows != document_count:
            raise IndexCorruptError(path, f"does not hold {document_count} rows")

    def title(self, doc_num: int) -> str:
        """Title of a document."""
        return self._value(0, doc_num)

    def text(self, doc_num: int) -> str:
        """Text of a document."""
        return self._value(1, doc_num)

    def _value(self, column: int, doc_num: int) -> str:
        at = bisect.bisect_right(self._starts, doc_num) - 1
        return self._batches[at].column(column)[doc_num - self._starts[at]].as_py()

    def metadata(self, doc_num: int) -> dict[str, MetadataValue]:
        """Metadata of a document, absent fields left out."""
        result: dict[str, MetadataValue] = {}
        for name in self.columns.column_names:
            value = self.columns.column(name)[doc_num].as_py()
            if value is not None:
                result[name] = tuple(value) if isinstance(value, list) else value
        return result


def _open(path: Path, memory_map: bool) -> pa.ipc.RecordBatchFileReader:
    if not path.is_file():
        raise IndexCorruptError(path, "the file is missing")
    source = pa.memory_map(str(path)) if memory_map else pa.BufferReader(path.read_bytes())
    return _guard(path, lambda: pa.ipc.open_file(source))


def _guard(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise IndexCorruptError(path, f"not a readable Arrow file ({reason})") from None
