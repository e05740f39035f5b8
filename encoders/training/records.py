"""Reads JSON lines, compressed or not."""

from __future__ import annotations

import gzip
import io
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from encoders.training.errors import TrainingError

_COMPRESSIONS = ("", ".gz", ".xz", ".zst")


def find_file(folder: Path, name: str) -> Path:
    """``name`` in ``folder``, as it is or compressed.

    Raises:
        TrainingError: There is no such file.
    """
    for compression in _COMPRESSIONS:
        path = folder / (name + compression)
        if path.is_file():
            return path
    raise TrainingError(
        f"{folder} has no {name} (nor {name}.gz, .xz, .zst); give a collection in BEIR layout."
    )


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON object of each line that is not blank.

    Raises:
        TrainingError: The file is damaged, or a line is not a JSON object.
    """
    try:
        with _open(path) as stream, io.TextIOWrapper(stream, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise TrainingError(
                        f"{path}, line {number}: expected a JSON object, got {line.strip()[:60]!r}."
                    )
                yield record
    except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, ValueError) as error:
        raise TrainingError(
            f"{path} cannot be read as JSON lines: {error}; fetch the file again."
        ) from error


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path))
    if path.suffix == ".xz":
        return cast("BinaryIO", lzma.open(path))
    if path.suffix == ".zst":
        return cast("BinaryIO", zstandard.open(path, "rb"))
    return path.open("rb")
