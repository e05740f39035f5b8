"""Text files of a collection, compressed or not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from eval.errors import DatasetError
from indexer.corpus.streams import ByteCount, DamagedStreamError, as_utf8, open_bytes

COMPRESSIONS = ("", ".gz", ".xz", ".zst")
"""Suffixes that may follow the name of any file of a collection; none is tried first."""


def find_file(folder: Path, name: str) -> Path | None:
    """The file ``name`` in ``folder``, or its compressed form, or ``None``."""
    candidates = (folder / f"{name}{compression}" for compression in COMPRESSIONS)
    return next((path for path in candidates if path.is_file()), None)


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Opens a text file for reading; ``.gz``, ``.xz`` and ``.zst`` are decompressed.

    Raises:
        DatasetError: The file is missing, not UTF-8, or its compression is broken. Errors of
            reading inside the ``with`` block are translated as well.
    """
    try:
        stream = open_bytes(path, ByteCount())
        with io.TextIOWrapper(as_utf8(stream), encoding="utf-8") as file:
            yield file
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text ({error}); convert it first") from error
    except DamagedStreamError as error:
        raise DatasetError(f"{path} is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
