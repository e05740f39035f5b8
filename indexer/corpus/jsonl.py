"""Reader of JSON lines, and of JSON files that hold an array of objects or pretty objects."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

from indexer.corpus.json_objects import parse_object
from indexer.corpus.json_scanner import JsonScanner
from indexer.corpus.lines import excerpt, read_lines, too_large
from indexer.corpus.records import RawRecord, Reject, RejectReason


def read_json(
    stream: io.BufferedReader, file: str, limit: int, *, pretty: bool = False
) -> Iterator[RawRecord | Reject]:
    """Records of a JSON stream.

    A stream that begins with ``[`` is one array, whatever its name; else every line is a
    record, unless ``pretty`` allows objects over several lines and the first line is part of
    one.

    Args:
        stream: UTF-8 bytes.
        file: Name for records and rejects.
        limit: Longest record in bytes.
        pretty: The file is named ``.json``.
    """
    head = stream.peek(1).lstrip()
    in_array = head.startswith(b"[")
    if in_array or (pretty and not _is_whole(head)):
        return _read_scanned(stream, file, limit, in_array)
    return _read_lines(stream, file, limit)


def _is_whole(head: bytes) -> bool:
    line, newline, _ = head.partition(b"\n")
    if not newline:
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _read_lines(stream: io.BufferedReader, file: str, limit: int) -> Iterator[RawRecord | Reject]:
    for number, line, oversize in read_lines(stream, limit):
        if oversize:
            yield too_large(file, number, oversize, limit, line)
        elif not line.isspace():
            yield parse_object(line, file, number)


def _read_scanned(
    stream: io.BufferedReader, file: str, limit: int, in_array: bool
) -> Iterator[RawRecord | Reject]:
    for value in JsonScanner(stream, limit, in_array=in_array):
        if value.size > limit:
            yield too_large(file, value.line, value.size, limit, value.raw)
        elif value.complete:
            yield parse_object(value.raw, file, value.line)
        else:
            detail = "the JSON ends here without closing, or goes on after its end"
            yield Reject(
                file, value.line, RejectReason.UNPARSABLE, detail, excerpt=excerpt(value.raw)
            )
