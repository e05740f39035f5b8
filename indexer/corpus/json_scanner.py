"""Finds the values of a JSON array, or of JSON texts one after another, without reading it whole.

Only strings and brackets are followed, so a malformed element ends where its brackets do and the
next one is read again.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from indexer.corpus.records import EXCERPT_CHARACTERS
from indexer.corpus.streams import BUFFER_BYTES

_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')


@dataclass(frozen=True, slots=True)
class ScannedValue:
    """Bytes of a value, cut if ``size`` is over the limit, and whether its end was found."""

    line: int
    raw: bytes
    size: int
    complete: bool = True


class JsonScanner:
    """Splits a stream into values.

    Args:
        stream: UTF-8 bytes.
        limit: Values of more bytes are passed on cut short.
        in_array: The values are the elements of one array, else they follow one another.
    """

    def __init__(self, stream: io.BufferedReader, limit: int, *, in_array: bool) -> None:
        self._stream = stream
        self._limit = limit
        self._in_array = in_array
        self._pending = bytearray()
        self._size = 0
        self._line = 1
        self._line_breaks = 0

    def __iter__(self) -> Iterator[ScannedValue]:
        inside = 1 if self._in_array else 0
        depth, in_string, escaped, ended = 0, False, False, False
        while chunk := self._stream.read1(BUFFER_BYTES):
            start = position = 0
            if escaped:
                position, escaped = 1, False
            while match := (_INSIDE if in_string else _OUTSIDE).search(chunk, position):
                position = match.end()
                symbol = match.group()
                if symbol == b'"':
                    in_string = not in_string
                elif symbol == b"\\":
                    escaped = position == len(chunk)
                    position += 1
                elif symbol in b"{[":
                    if depth == 0 and self._in_array and not ended:
                        self._keep(chunk, start, position)
                        self._take(discard=True)
                        start = position
                    depth += 1
                elif symbol in b"}]":
                    depth = max(0, depth - 1)
                    if depth == 0 and not ended:
                        self._keep(chunk, start, position - inside)
                        yield from self._take()
                        start = position - inside
                        if self._in_array:
                            ended, start = True, position
                elif self._in_array and depth == 1:
                    self._keep(chunk, start, position - 1)
                    yield from self._take()
                    start = position
            self._keep(chunk, start, len(chunk))
        yield from self._take(complete=False)
        if self._in_array and not ended:
            yield ScannedValue(self._line, b"", 0, complete=False)

    def _keep(self, chunk: bytes, start: int, end: int) -> None:
        part = chunk[start:end]
        if not self._pending:
            stripped = part.lstrip()
            self._line += part.count(b"\n", 0, len(part) - len(stripped))
            part = stripped
        self._size += len(part)
        self._line_breaks += part.count(b"\n")
        if self._size <= self._limit:
            self._pending += part
        elif part:
            self._pending += part[:EXCERPT_CHARACTERS]
            del self._pending[4 * EXCERPT_CHARACTERS :]

    def _take(self, *, complete: bool = True, discard: bool = False) -> Iterator[ScannedValue]:
        raw = bytes(self._pending)
        value = ScannedValue(self._line, raw, self._size, complete)
        self._line += self._line_breaks
        self._pending.clear()
        self._size = self._line_breaks = 0
        return iter(() if discard or not raw.strip() else (value,))
