"""Text files of a collection, compressed or not."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import zstandard

from eval.errors import DatasetError

COMPRESSIONS = ("", ".gz", ".xz", ".zst")
"""Suffixes that may follow the name of any file of a collection; none is tried first."""


def find_file(folder: Path, name: str) -> Path | None:
    """The file ``name`` in ``folder``, or its compressed form, or ``None``."""
    candidates = (folder / f"{name}{compression}" for compression in COMPRESSIONS)
    return next((path for path in candidates if path.is_file()), None)


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Opens a UTF-8 text file for reading; ``.gz``, ``.xz`` and ``.zst`` are decompressed.

    A byte order mark at the start is skipped.

    Raises:
        DatasetError: The file is missing, not UTF-8, or its compression is broken. Errors of
            reading inside the ``with`` block are translated as well.
    """
    opened: IO[bytes]
    try:
        match path.suffix:
            case ".gz":
                opened = cast("IO[bytes]", gzip.open(path, "rb"))  # noqa: SIM115
            case ".xz":
                opened = lzma.open(path, "rb")  # noqa: SIM115
            case ".zst":
                opened = zstandard.open(path, "rb")
            case _:
                opened = path.open("rb")
        with io.TextIOWrapper(opened, encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text ({error}); convert it first") from error
    except (EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise DatasetError(f"{path} is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
