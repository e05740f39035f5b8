"""Reader of Parquet and Arrow IPC (Feather) files, batch by batch."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from indexer.corpus.layout import InputFile
from indexer.corpus.lines import encoding_detail, too_large
from indexer.corpus.mapping import CANDIDATE_NAMES
from indexer.corpus.options import CorpusFormat
from indexer.corpus.records import RawRecord, Reject, RejectReason
from indexer.corpus.streams import BUFFER_BYTES, COMPRESSED_SUFFIXES, ByteCount

BATCH_ROWS = 1024


def read_columnar(
    file: InputFile, limit: int, wanted: frozenset[str], count: ByteCount, left_out: set[str]
) -> Iterator[RawRecord | Reject]:
    """Records of a Parquet or Arrow file, ``line`` being the row from 1.

    Columns of types that metadata cannot hold (images and other binary data, vectors, maps,
    durations) are not read. A binary column is read as text if it is wanted as identifier,
    title or text. What a compressed file or standard input holds is copied to a temporary file.

    Args:
        file: The file.
        limit: Longest record in bytes.
        wanted: Fields of an explicit mapping.
        count: Gets the file's bytes in step with its rows.
        left_out: Gets the columns that are not read.

    Raises:
        OSError: The file cannot be opened.
        DamagedStreamError: Its compression is damaged.
    """
    parquet = file.format is CorpusFormat.PARQUET
    row = 0
    source, uncounted = _seekable(file, count)
    with source:
        try:
            table = pq.ParquetFile(source) if parquet else _open_arrow(source)
            schema = table.schema_arrow if parquet else table.schema
            columns = [field.name for field in schema if _readable(field, wanted)]
            left_out.update(f"{f.name} ({f.type})" for f in schema if f.name not in columns)
            row_count = table.metadata.num_rows if parquet else 0
            for batch in _batches(table, columns):
                for values in _rows(batch):
                    row += 1
                    yield _record(values, file.shown, row, limit)
                if row_count:
                    step = min(uncounted, file.size * batch.num_rows // row_count)
                    count.value += step
                    uncounted -= step
        except (pa.ArrowException, OSError, ValueError) as error:
            detail = f"from row {row + 1:,} on it cannot be read: {error}"
            yield Reject(file.shown, row + 1, RejectReason.DAMAGED, detail)
    count.value += uncounted


def _batches(table: Any, columns: list[str]) -> Iterator[pa.RecordBatch]:
    if isinstance(table, pq.ParquetFile):
        yield from table.iter_batches(BATCH_ROWS, columns=columns)
        return
    for batch in _arrow_batches(table):
        chosen = batch.select(columns)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield chosen.slice(start, BATCH_ROWS)


def _record(
    values: dict[str, Any] | Exception, file: str, row: int, limit: int
) -> RawRecord | Reject:
    if isinstance(values, UnicodeError):
        return Reject(file, row, RejectReason.ENCODING, encoding_detail(values))
    if isinstance(values, Exception):
        return Reject(file, row, RejectReason.UNPARSABLE, str(values))
    size = sum(len(value) for value in values.values() if isinstance(value, (str, bytes)))
    if size > limit:
        return too_large(file, row, size, limit)
    return RawRecord(file, row, values)


def _seekable(file: InputFile, count: ByteCount) -> tuple[IO[bytes], int]:
    """The file, or a temporary copy of its content, and the bytes still to be counted."""
    if file.path is not None and file.path.suffix.lower() not in COMPRESSED_SUFFIXES:
        return file.path.open("rb"), file.size
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with file.open(count) as stream:
        shutil.copyfileobj(stream, copy, BUFFER_BYTES)
    copy.seek(0)
    return copy, 0


def _open_arrow(source: IO[bytes]) -> Any:
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source)


def _arrow_batches(file: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(file, pa.ipc.RecordBatchFileReader):
        for number in range(file.num_record_batches):
            yield file.get_batch(number)
    else:
        yield from file


def _readable(field: pa.Field, wanted: frozenset[str]) -> bool:
    if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
        return field.name in wanted or field.name.lower() in CANDIDATE_NAMES
    return _supported(field.type)


def _supported(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_struct(kind):
        return all(_supported(kind.field(i).type) for i in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind):
        return not types.is_floating(kind.value_type) and _supported(kind.value_type)
    if types.is_dictionary(kind):
        return _supported(kind.value_type)
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_date(kind)
        or types.is_timestamp(kind)
        or types.is_null(kind)
    )


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Exception]:
    arrays = [_microseconds(column) for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
    try:
        rows = batch.to_pylist()
    except (UnicodeError, ValueError, OverflowError):
        # One bad value spoils the conversion of a batch: find the rows it spoils.
        rows = [_row(batch, number) for number in range(batch.num_rows)]
    for row in rows:
        yield row if isinstance(row, Exception) else {k: _plain(v) for k, v in row.items()}


def _row(batch: pa.RecordBatch, number: int) -> dict[str, Any] | Exception:
    try:
        return batch.slice(number, 1).to_pylist()[0]
    except (UnicodeError, ValueError, OverflowError) as error:
        return error


def _microseconds(column: pa.Array) -> pa.Array:
    """Python's datetime holds no nanoseconds: they are cut."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column


def _plain(value: Any) -> Any:
    """Data frames write NaN for a missing number."""
    return None if isinstance(value, float) and math.isnan(value) else value
