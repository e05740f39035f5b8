"""Reader of CSV and TSV: a header, then records that quotes may stretch over lines."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from indexer.corpus.lines import excerpt, not_utf8, read_lines, too_large
from indexer.corpus.records import RawRecord, Reject, RejectReason

HEAD_BYTES = 1 << 20
DELIMITERS = ",;\t|"

# A head shorter than this is a whole file; a record over more lines has lost its quote.
SMALL_HEAD_BYTES = 1 << 14
MOST_OPEN_LINES = 100


class _RecordTooLargeError(Exception):
    pass


class _Lines:
    """Text lines for ``csv.reader``, which may fail within a record and go on after it."""

    def __init__(self, stream: io.BufferedReader, limit: int) -> None:
        self._lines = read_lines(stream, limit)
        self._limit = limit
        self.number = 0
        self.ended = False
        self.begin()

    def begin(self) -> None:
        """Forgets the record before."""
        self.start = self.number + 1
        self.size = 0
        self.quotes = 0
        self.first = b""
        self.error: UnicodeDecodeError | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            self.number, line, oversize = next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        self.first = self.first or line
        self.size += oversize or len(line)
        self.quotes += line.count(b'"')
        # A line end may push a record over: it does not count.
        if oversize or self.size > self._limit + 2:
            if not oversize:
                self._skip_record()
            raise _RecordTooLargeError
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            self.error = self.error or error
            return line.decode("utf-8", "replace")

    def _skip_record(self) -> None:
        """Goes on to where the quotes are even, which is where the record ends."""
        while self.quotes % 2:
            try:
                self.number, line, oversize = next(self._lines)
            except StopIteration:
                self.ended = True
                return
            self.size += oversize or len(line)
            self.quotes += line.count(b'"')


def read_delimited(
    stream: io.BufferedReader, file: str, limit: int, *, tabs: bool = False
) -> Iterator[RawRecord | Reject]:
    """Records of a CSV or TSV stream; empty cells are missing values.

    The delimiter of CSV (comma, semicolon, tab or bar) is the one that the header holds most
    of. Tab-separated files with stray quotes are read as if quotes meant nothing.

    Args:
        stream: UTF-8 bytes.
        file: Name for records and rejects.
        limit: Longest record in bytes.
        tabs: The file is tab-separated.
    """
    head = stream.peek(1)[:HEAD_BYTES]
    delimiter = "\t" if tabs else sniff_delimiter(head)
    quoting: Literal[0, 3] = (
        csv.QUOTE_MINIMAL if _quotes_balance(head, delimiter) else csv.QUOTE_NONE
    )
    # The limit is kept by _Lines; the module-wide one must only not stand in the way.
    csv.field_size_limit(max(csv.field_size_limit(), limit + 2))
    lines = _Lines(stream, limit)
    rows = _read_rows(lines, csv.reader(lines, delimiter=delimiter, quoting=quoting), file, limit)
    header: list[str] | None = None
    for row in rows:
        if isinstance(row, Reject):
            yield row
        elif header is None:
            header = _field_names(row)
            repeated = [name for name, count in Counter(header).items() if count > 1]
            if repeated:
                detail = f"the header names {repeated[0]!r} twice; the file is not read"
                yield Reject(file, lines.start, RejectReason.UNPARSABLE, detail)
                return
        elif len(row) == len(header):
            fields = {name: cell or None for name, cell in zip(header, row, strict=True)}
            yield RawRecord(file, lines.start, fields)
        else:
            detail = f"{len(row)} cells, the header has {len(header)}"
            if lines.number > lines.start:
                detail += f"; the record ends in line {lines.number}, is a quote missing?"
            yield Reject(
                file, lines.start, RejectReason.UNPARSABLE, detail, excerpt=excerpt(lines.first)
            )


def _read_rows(
    lines: _Lines, reader: Iterator[list[str]], file: str, limit: int
) -> Iterator[list[str] | Reject]:
    while not lines.ended:
        lines.begin()
        try:
            row = next(reader)
        except StopIteration:
            return
        except _RecordTooLargeError:
            yield too_large(file, lines.start, lines.size, limit, lines.first)
            continue
        except csv.Error as error:
            yield _unparsable(file, lines, str(error))
            continue
        if lines.error is not None:
            yield not_utf8(file, lines.start, lines.error, lines.first)
        elif lines.ended:
            # Only a quote that is still open makes the parser ask for a line after the last.
            yield _unparsable(
                file, lines, f"a quote never closes; lines up to {lines.number} are lost in it"
            )
        elif row:
            yield row


def _unparsable(file: str, lines: _Lines, detail: str) -> Reject:
    return Reject(file, lines.start, RejectReason.UNPARSABLE, detail, excerpt=excerpt(lines.first))


def _field_names(row: list[str]) -> list[str]:
    """Trimmed names; columns without one are numbered, as data frames write their index so."""
    return [name.strip() or f"column_{number}" for number, name in enumerate(row, 1)]


def sniff_delimiter(head: bytes) -> str:
    """The delimiter that the first line holds most of outside quotes; a comma if none.

    >>> sniff_delimiter(b'id;"a,b";text')
    ';'
    """
    header = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    unquoted = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=unquoted.count)


def _quotes_balance(head: bytes, delimiter: str) -> bool:
    """Whether quotes follow the rules; always so for CSV, where they are part of the format."""
    if delimiter != "\t":
        return True
    lines = head.decode("utf-8", "replace").splitlines(keepends=True)
    complete = lines[: max(1, len(lines) - 1)]
    reader = csv.reader(complete, delimiter=delimiter, strict=True)
    parsed = 0
    try:
        for _ in reader:
            parsed = reader.line_num
    except csv.Error as error:
        # The head may end within a record that goes on, though not for very long.
        is_cut = len(head) > SMALL_HEAD_BYTES and len(complete) - parsed < MOST_OPEN_LINES
        return is_cut and "unexpected end of data" in str(error)
    return True
