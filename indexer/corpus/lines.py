"""Lines of a byte stream, with their numbers and a limit on their length."""

from __future__ import annotations

import io
from collections.abc import Iterator

from indexer.corpus.records import EXCERPT_CHARACTERS, Reject, RejectReason
from indexer.corpus.streams import BUFFER_BYTES


def read_lines(stream: io.BufferedReader, limit: int) -> Iterator[tuple[int, bytes, int]]:
    r"""Yields ``(number, line, oversize)``, number from 1, line ends included.

    A line of more than ``limit`` bytes is not held: its first bytes are yielded, with its full
    size as ``oversize``, which is 0 for other lines. Lines end at ``\n`` and nothing else.
    """
    number = 0
    readline = stream.readline
    while line := readline(limit + 1):
        number += 1
        if len(line) <= limit or line.endswith(b"\n"):
            yield number, line, 0
            continue
        size = len(line)
        while rest := readline(BUFFER_BYTES):
            size += len(rest)
            if rest.endswith(b"\n"):
                break
        yield number, line[: 4 * EXCERPT_CHARACTERS], size


def excerpt(raw: bytes) -> str:
    """The beginning of a record for the rejects file; undecodable bytes as escapes."""
    return raw[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "backslashreplace")[:EXCERPT_CHARACTERS]


def too_large(file: str, line: int | None, size: int, limit: int, raw: bytes = b"") -> Reject:
    """The reject of a record over the limit."""
    detail = f"the record has {size:,} bytes or more, the limit is {limit:,}; raise it to keep it"
    return Reject(file, line, RejectReason.TOO_LARGE, detail, excerpt=excerpt(raw))


def not_utf8(file: str, line: int | None, error: UnicodeError, raw: bytes) -> Reject:
    """The reject of a record that is not UTF-8."""
    return Reject(file, line, RejectReason.ENCODING, encoding_detail(error), excerpt=excerpt(raw))


def encoding_detail(error: UnicodeError) -> str:
    """What is wrong with the bytes or characters, and where."""
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return f"not {error.encoding} at byte {error.start} (0x{byte:02x}); convert it to UTF-8"
    if isinstance(error, UnicodeEncodeError):
        code = ord(error.object[error.start])
        return f"half of a surrogate pair (U+{code:04X}) at character {error.start}"
    return str(error)
