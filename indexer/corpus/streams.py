"""Byte streams of corpus files: counted, decompressed, and in UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_BYTES = 1 << 20

# Decompression fails by steps: what a failing step had found is lost. Few input bytes can hold
# very many output bytes, so the step is bounded by either.
CHUNK_BYTES = 1 << 12
STEP_BYTES = 1 << 16

MAGIC = {".gz": b"\x1f\x8b", ".xz": b"\xfd7zXZ\x00", ".zst": b"\x28\xb5\x2f\xfd"}
COMPRESSED_SUFFIXES = frozenset(MAGIC)

# UTF-32 first: its little-endian mark begins with the one of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)


class DamagedStreamError(Exception):
    """A compressed stream ends early or is corrupt; what was read before is sound."""


@dataclass(slots=True)
class ByteCount:
    """Bytes taken from disk so far, before decompression."""

    value: int = 0


class _CountedBytes(io.RawIOBase):
    """A raw stream that adds what is read to a count."""

    def __init__(self, raw: io.BufferedIOBase, count: ByteCount) -> None:
        self._raw = raw
        self._count = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        size = self._raw.readinto1(buffer)
        self._count.value += size
        return size

    def close(self) -> None:
        if not self.closed and self._raw is not sys.stdin.buffer:
            self._raw.close()
        super().close()


class _ConvertedBytes(io.RawIOBase):
    """A raw stream over ``read``; keeps ``source`` to close it."""

    def __init__(self, read: Callable[[int], bytes], source: io.BufferedReader) -> None:
        self._read = read
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        try:
            data = self._read(len(view))
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise DamagedStreamError(str(error)) from None
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


def open_bytes(path: Path | None, count: ByteCount) -> io.BufferedReader:
    """The decompressed bytes of a file, or of standard input for ``None``.

    Compression is recognised by content, so a misnamed file is read all the same.

    Raises:
        OSError: The file cannot be opened.
        DamagedStreamError: It is named as compressed and holds something else.
    """
    raw = cast("io.BufferedIOBase", sys.stdin.buffer if path is None else path.open("rb"))
    stream: io.BufferedReader = io.BufferedReader(_CountedBytes(raw, count), BUFFER_BYTES)
    head = stream.peek(8)[:8]
    found = next((name for name, magic in MAGIC.items() if head.startswith(magic)), None)
    expected = path.suffix.lower() if path is not None else ""
    if found is None:
        if head and expected in MAGIC:
            stream.close()
            raise DamagedStreamError(f"the file is named {expected} but is not compressed so")
        return stream
    read = _decompressor(found, stream)
    return io.BufferedReader(_ConvertedBytes(read, stream), BUFFER_BYTES)


def _decompressor(suffix: str, stream: io.BufferedReader) -> Callable[[int], bytes]:
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=stream, mode="rb").read1
    if suffix == ".xz":
        return _XzReader(stream).read
    return _ZstdReader(stream).read


class _ZstdReader:
    """Reads Zstandard frames one after another.

    ``zstandard``'s own stream reader does not tell a truncated frame from a whole one.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        import zstandard

        self._stream = stream
        self._decompressor = zstandard.ZstdDecompressor()
        self._error = zstandard.ZstdError
        self._frame = self._decompressor.decompressobj()
        self._pending = memoryview(b"")

    def read(self, size: int) -> bytes:
        while not self._pending:
            rest = self._frame.unused_data if self._frame.eof else b""
            data = rest or self._stream.read(CHUNK_BYTES)
            if not data:
                if self._frame.eof:
                    return b""
                raise EOFError("the compressed file ends before its end mark")
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj()
            try:
                self._pending = memoryview(self._frame.decompress(data))
            except self._error as error:
                raise OSError(str(error)) from None
        part, self._pending = self._pending[:size], self._pending[size:]
        return bytes(part)


class _XzReader:
    """Reads xz streams one after another.

    ``lzma.LZMAFile`` ends silently where a second stream is damaged; this raises.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._decoder = lzma.LZMADecompressor()

    def read(self, size: int) -> bytes:
        while True:
            data = b""
            if self._decoder.eof:
                # Streams may be padded with zeros.
                data = self._decoder.unused_data.lstrip(b"\0")
                while not data:
                    chunk = self._stream.read1(BUFFER_BYTES)
                    if not chunk:
                        return b""
                    data = chunk.lstrip(b"\0")
                self._decoder = lzma.LZMADecompressor()
            elif self._decoder.needs_input:
                data = self._stream.read1(BUFFER_BYTES)
                if not data:
                    raise EOFError("the compressed file ends before its end mark")
            content = self._decoder.decompress(data, min(size, STEP_BYTES))
            if content:
                return content


def as_utf8(stream: io.BufferedReader) -> io.BufferedReader:
    """The stream without byte order mark, converted to UTF-8 if the mark says UTF-16 or 32.

    Bytes without a mark pass as they are. What the other encoding cannot express becomes bytes
    that are not UTF-8, so that the reader rejects just the record that holds them.
    """
    head = stream.peek(4)[:4]
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            stream.read(len(mark))
            if encoding == "utf-8":
                return stream
            return io.BufferedReader(
                _ConvertedBytes(_Transcoder(stream, encoding).read, stream), BUFFER_BYTES
            )
    return stream


class _Transcoder:
    """Reads UTF-8 from a stream in another Unicode encoding."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._pending = memoryview(b"")
        self._ended = False

    def read(self, size: int) -> bytes:
        while not self._pending and not self._ended:
            data = self._stream.read1(BUFFER_BYTES)
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
                self._pending = memoryview(text.encode("utf-8", "surrogatepass"))
            except UnicodeDecodeError:
                # Cut within a character, or beyond Unicode: no position to go on from.
                self._pending = memoryview(b"\xff")
                self._ended = True
        part, self._pending = self._pending[:size], self._pending[size:]
        return bytes(part)
