"""Metadata fields keep one type throughout an index."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import MutableMapping

import numpy as np

from encoders.base import Document, MetadataValue
from indexer.corpus.records import RejectReason
from indexer.format.documents import field_type

MAX_FIELDS = 1000
"""Most fields of an index, as in OpenSearch: each is a column over all documents."""


class FieldError(ValueError):
    """A document cannot be stored as it is."""

    def __init__(self, message: str, reason: RejectReason = RejectReason.WRONG_TYPE) -> None:
        super().__init__(message)
        self.reason = reason


def fit_fields(document: Document, fields: MutableMapping[str, str]) -> Document:
    """The document with metadata of the fields' types; fields not seen before are added.

    An integer fits a float field and a keyword fits a keyword list; numpy's scalars are taken as
    Python's, and a field that holds ``None`` is as one that is not there.

    Raises:
        FieldError: A value is of another type or of none, a string is not valid Unicode, or
            there are too many fields.
    """
    for name, text in (
        ("the id", document.doc_id),
        ("title", document.title),
        ("text", document.text),
    ):
        _check_text(name, text)
    if not document.metadata:
        return document
    new: dict[str, str] = {}
    changed: dict[str, MetadataValue] = {}
    absent: list[str] = []
    for name, value in document.metadata.items():
        if value is None:
            absent.append(name)
            continue
        if isinstance(value, np.generic):
            value = changed[name] = value.item()
        _check_value(name, value)
        found = field_type(value)
        expected = fields.get(name)
        if expected is None:
            new[name] = found
        elif (expected, found) == ("float", "integer"):
            changed[name] = float(value)  # type: ignore[arg-type]
        elif (expected, found) == ("keywords", "keyword"):
            changed[name] = (value,)  # type: ignore[assignment]
        elif found != expected:
            raise FieldError(
                f"field {name!r} holds {expected} values, got {found} {value!r:.80}; give its "
                "type in a schema file"
            )
    if len(fields) + len(new) > MAX_FIELDS:
        raise FieldError(
            f"field {next(iter(new))!r:.80} is one too many: an index holds {MAX_FIELDS:,} fields",
            RejectReason.TOO_LARGE,
        )
    fields.update(new)
    if not changed and not absent:
        return document
    kept = {n: v for n, v in {**document.metadata, **changed}.items() if n not in absent}
    return dataclasses.replace(document, metadata=kept)


def _check_text(name: str, text: str) -> None:
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        message = f"{name} holds half of a surrogate pair, which UTF-8 cannot write"
        raise FieldError(message, RejectReason.ENCODING) from None


def _check_value(name: str, value: object) -> None:
    _check_text("the name of a field", name)
    if isinstance(value, str):
        _check_text(f"field {name!r}", value)
    elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        for item in value:
            _check_text(f"field {name!r}", item)
    elif not isinstance(value, bool | int | float | datetime.datetime):
        raise FieldError(
            f"field {name!r} cannot hold {type(value).__name__} {value!r:.80}; values are str, "
            "int, float, bool, datetime, or a tuple of str"
        )
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise FieldError(f"field {name!r}: {value!r:.80} does not fit 64 bits")
    elif isinstance(value, datetime.datetime):
        try:
            value.astimezone(datetime.UTC)
        except OverflowError:
            raise FieldError(
                f"field {name!r}: {value} is before the year 1 or after 9999 in UTC"
            ) from None
