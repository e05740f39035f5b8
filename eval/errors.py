"""Named errors of evaluation: each says what was wrong, what was got, how to fix it."""

from __future__ import annotations

from retriever.errors import RunFormatError

__all__ = [
    "ComparisonError",
    "DatasetError",
    "EvaluationError",
    "MeasureError",
    "PeerAbsentError",
    "ResultsError",
    "RunFormatError",
    "SplitError",
    "SystemFailedError",
    "TuningError",
]


class EvaluationError(Exception):
    """Base of all errors that a user of ``python -m eval`` may see."""


class DatasetError(EvaluationError):
    """A folder is not a collection in BEIR layout, or one of its files cannot be read."""


class SplitError(DatasetError):
    """A collection has no such split, or several and none was chosen."""


class MeasureError(EvaluationError):
    """A measure is unknown or cannot be computed by the installed packages."""


class ComparisonError(EvaluationError):
    """Two results cannot be compared query by query."""


class ResultsError(EvaluationError):
    """A results file cannot be read, or results would be overwritten."""


class SystemFailedError(EvaluationError):
    """A system under evaluation failed."""


class PeerAbsentError(EvaluationError):
    """A peer is not installed; the message says how to install it."""


class TuningError(EvaluationError):
    """Weights cannot be tuned on this index or with these queries."""
