"""What a corpus yields: records, the types of their fields, and records that were rejected."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from encoders.base import Document
from indexer.errors import CorpusError

EXCERPT_CHARACTERS = 200

_KEYS = ["file", "line", "doc_id", "reason", "excerpt"]


class FieldType(StrEnum):
    """Type of a metadata field; the values are the names that a schema file uses."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    KEYWORDS = "keywords"


@dataclass(frozen=True, slots=True)
class CorpusRecord:
    """A document and where it stands.

    Attributes:
        document: The document, its metadata typed.
        file: Path of the file as it was named or found, ``-`` for standard input.
        line: First line of the record, from 1; the row for Parquet and Arrow; ``None`` where
            the file is the record.
    """

    document: Document
    file: str
    line: int | None


@dataclass(slots=True)
class RawRecord:
    """Fields of one record as a format reader found them, before mapping and typing."""

    file: str
    line: int | None
    fields: dict[str, Any]


class RejectReason(StrEnum):
    """Why a record is left out; rejects are counted by these."""

    UNPARSABLE = "cannot be parsed"
    NO_ID = "no id"
    REPEATED_ID = "repeated id"
    WRONG_TYPE = "wrong type"
    ENCODING = "bad encoding"
    TOO_LARGE = "too large"
    DAMAGED = "damaged file"
    UNREADABLE = "unreadable file"


@dataclass(frozen=True, slots=True)
class Reject:
    """One record, or the rest of one damaged file, that does not enter the index."""

    file: str
    line: int | None
    reason: RejectReason
    detail: str
    doc_id: str | None = None
    excerpt: str = ""

    @property
    def message(self) -> str:
        """Reason and detail."""
        return f"{self.reason}: {self.detail}"

    @property
    def place(self) -> str:
        """``file:line`` or ``file``, always printable."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return place.encode("utf-8", "backslashreplace").decode()


def _is_rejects_file(path: Path) -> bool:
    """Whether an earlier run wrote it: a file of the user's that was named by mistake stays."""
    try:
        with path.open(encoding="utf-8") as file:
            row = json.loads(file.readline(1 << 20))
    except (OSError, ValueError):
        return False
    return isinstance(row, dict) and list(row) == _KEYS


class RejectLog:
    """Counts rejects by reason and writes them as JSON lines.

    The file (keys ``file``, ``line``, ``doc_id``, ``reason``, ``excerpt``) is created at the
    first reject; without one it does not exist, nor does that of an earlier run. Use the log as a
    context manager, or close it.

    Args:
        path: The rejects file; ``None`` counts only.
        strict: The first reject raises instead.
        keep: How many rejects to keep in ``samples``.

    >>> log = RejectLog()
    >>> log.add(Reject("a.jsonl", 7, RejectReason.NO_ID, "the field 'id' is empty"))
    >>> log.total, dict(log.counts)
    (1, {<RejectReason.NO_ID: 'no id'>: 1})
    """

    def __init__(self, path: Path | None = None, *, strict: bool = False, keep: int = 5) -> None:
        self.path = path
        self.strict = strict
        self.counts: Counter[RejectReason] = Counter()
        self.samples: list[Reject] = []
        self._keep = keep
        self._file: IO[str] | None = None

    @property
    def total(self) -> int:
        """Number of rejects."""
        return self.counts.total()

    def add(self, reject: Reject) -> None:
        """Counts and writes a reject.

        Raises:
            CorpusError: The log is strict, or the rejects file cannot be written.
        """
        if self.strict:
            raise CorpusError(
                f"{reject.place}: {reject.message}. Correct the record, or leave out --strict to "
                "skip such records and list them in a rejects file."
            )
        self.counts[reject.reason] += 1
        if len(self.samples) < self._keep:
            self.samples.append(reject)
        if self.path is not None:
            self._write(self.path, reject)

    def _write(self, path: Path, reject: Reject) -> None:
        row = {
            "file": reject.file,
            "line": reject.line,
            "doc_id": reject.doc_id,
            "reason": reject.message,
            "excerpt": reject.excerpt[:EXCERPT_CHARACTERS],
        }
        try:
            if self._file is None:
                self._file = path.open("w", encoding="utf-8")
            # Escaped to ASCII: an excerpt may hold what no encoding can write.
            self._file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise CorpusError(f"{path}: the rejects file cannot be written: {error}") from None

    def render(self) -> str:
        """Counts and samples for a person; empty without rejects."""
        if not self.total:
            return ""
        lines = [f"rejected {self.total:,} records"]
        lines += [f"  {count:,}  {reason}" for reason, count in self.counts.most_common()]
        lines += [f"  e.g. {reject.place}: {reject.message}" for reject in self.samples]
        if self.path is not None:
            lines.append(f"  all of them: {self.path}")
        return "\n".join(lines)

    def close(self) -> None:
        """Closes the rejects file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> RejectLog:
        if self.path is not None and _is_rejects_file(self.path):
            with contextlib.suppress(OSError):  # a file that cannot go is replaced, or told of
                self.path.unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
