"""Named errors of indexes and corpora: each says what was wrong, what was got, how to fix it."""

from __future__ import annotations

from pathlib import Path


class IndexerError(Exception):
    """Base of all errors that a user of the indexer may see."""


class CorpusError(IndexerError):
    """The corpus cannot be read: not found, of no known kind, or stopped by ``--strict``."""


class NothingIndexedError(CorpusError):
    """Every record of a new index was rejected."""


class IndexNotFoundError(IndexerError):
    """There is no index at this path."""


class IndexExistsError(IndexerError):
    """An index would be overwritten."""


class UnfinishedBuildError(IndexerError):
    """What a build that did not end has encoded lies in the way, or does not fit this build."""


class MergeMemoryError(IndexerError):
    """A merge would need more memory than it may take."""


class IndexLockedError(IndexerError):
    """Another process is writing to this index."""


class IncompatibleIndexError(IndexerError):
    """The index was written in a format that this version does not read."""


class IndexCorruptError(IndexerError):
    """A file of the index is missing, truncated or altered."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(
            f"{path}: {reason}. Run 'indexer verify' for a full check; restore the file from a "
            "copy or build the index again."
        )
