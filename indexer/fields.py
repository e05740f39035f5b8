"""Metadata fields keep one type throughout an index."""

from __future__ import annotations

import dataclasses
from collections.abc import MutableMapping

from encoders.base import Document
from indexer.format.documents import field_type


class FieldError(ValueError):
    """A metadata value does not fit the type of its field."""


def fit_fields(document: Document, fields: MutableMapping[str, str]) -> Document:
    """The document with metadata of the fields' types; fields not seen before are added.

    An integer fits a float field and a keyword fits a keyword list.

    Raises:
        FieldError: A value is of another type.
    """
    if not document.metadata:
        return document
    changed = {}
    for name, value in document.metadata.items():
        found = field_type(value)
        expected = fields.setdefault(name, found)
        if found == expected:
            continue
        if (expected, found) == ("float", "integer"):
            changed[name] = float(value)  # type: ignore[arg-type]
        elif (expected, found) == ("keywords", "keyword"):
            changed[name] = (value,)  # type: ignore[assignment]
        else:
            raise FieldError(
                f"field {name!r} holds {expected} values, got {found} {value!r:.80}; give its "
                "type in a schema file"
            )
    if not changed:
        return document
    return dataclasses.replace(document, metadata={**document.metadata, **changed})
