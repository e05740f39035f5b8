"""Raw records become documents: mapped, typed and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from encoders.base import Document, MetadataValue
from indexer.corpus.field_types import FieldTypeError, convert, infer_types
from indexer.corpus.lines import encoding_detail
from indexer.corpus.mapping import CANDIDATES, flatten
from indexer.corpus.options import FieldMapping
from indexer.corpus.records import (
    EXCERPT_CHARACTERS,
    FieldType,
    RawRecord,
    Reject,
    RejectReason,
)


class RecordError(Exception):
    """A record cannot become a document."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class DocumentFactory:
    """Makes documents from raw records.

    Args:
        mapping: Complete: the fields of identifier, title and text.
        types: Types of metadata fields; a field that is not among them is added with the type
            of its first value.
        declared: Fields whose type the user gave.
        lift: The keys of a ``metadata`` object become fields.
        parse_text: Strings may be numbers (CSV).
        generated_id: Makes identifiers where ``mapping`` names no field for them.
    """

    def __init__(
        self,
        mapping: FieldMapping,
        types: dict[str, FieldType],
        *,
        declared: frozenset[str] = frozenset(),
        lift: bool = True,
        parse_text: bool = False,
        generated_id: Callable[[RawRecord], str] | None = None,
    ) -> None:
        self.types = types
        self._mapping = mapping
        self._id_field = mapping.doc_id
        self._title_field = mapping.title
        self._text_fields = mapping.text_fields
        self._mapped = mapping.names
        self._declared = declared
        self._lift = lift
        self._parse_text = parse_text
        self._generated_id = generated_id

    def document(self, record: RawRecord) -> Document | Reject:
        """The document of a record, or why there is none."""
        doc_id: str | None = None
        try:
            fields = record.fields
            for value in fields.values():
                if type(value) is dict or type(value) is list:
                    fields = self._flat(fields)
                    break
            doc_id = self._doc_id(record, fields)
            title = text = ""
            if self._title_field:
                title = _text(fields.get(self._title_field), self._title_field, " ")
            if len(self._text_fields) == 1:
                text = _text(fields.get(self._text_fields[0]), self._text_fields[0], "\n")
            elif self._text_fields:
                parts = [_text(fields.get(name), name, "\n") for name in self._text_fields]
                text = "\n".join(filter(None, parts))
            return Document(doc_id, text, title, self._metadata(fields))
        except RecordError as error:
            return _reject(record, error.reason, error.detail, doc_id)
        except RecursionError:
            return _reject(record, RejectReason.UNPARSABLE, "nested too deeply", doc_id)

    def _flat(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return flatten(fields, self._mapped, lift=self._lift)
        except ValueError as error:
            raise RecordError(RejectReason.UNPARSABLE, str(error)) from None

    def _doc_id(self, record: RawRecord, fields: Mapping[str, Any]) -> str:
        if self._id_field is None:
            if self._generated_id is None:
                looked = ", ".join(CANDIDATES["id"])
                raise RecordError(
                    RejectReason.NO_ID, f"no field of the corpus is an identifier ({looked})"
                )
            return _decoded(self._generated_id(record))
        value = fields.get(self._id_field)
        if type(value) is str and value and not value.isspace():
            return value
        if type(value) is int:
            return str(value)
        if isinstance(value, bytes) and value:
            return _decoded(value)
        if value is None and self._id_field not in fields:
            raise RecordError(RejectReason.NO_ID, f"the field {self._id_field!r} is missing")
        if value is None or isinstance(value, (str, bytes)):
            raise RecordError(RejectReason.NO_ID, f"the field {self._id_field!r} is empty")
        raise RecordError(
            RejectReason.WRONG_TYPE,
            f"the identifier {self._id_field!r} must be a string or an integer, "
            f"got {type(value).__name__} {json_excerpt(value)}",
        )

    def _metadata(self, fields: Mapping[str, Any]) -> dict[str, MetadataValue]:
        metadata: dict[str, MetadataValue] = {}
        for name, value in fields.items():
            if value is None or name in self._mapped:
                continue
            kind = self.types.get(name)
            if kind is None:
                kind = infer_types([{name: value}], parse_text=self._parse_text)[name]
                self.types[name] = kind
            try:
                converted = convert(value, kind)
            except FieldTypeError as error:
                raise RecordError(
                    RejectReason.WRONG_TYPE, f"field {name!r}: {error}; {self._remedy(name)}"
                ) from None
            if converted is not None:
                metadata[name] = converted
        return metadata

    def _remedy(self, name: str) -> str:
        if name in self._declared:
            return "the type was declared, or is the one that the index has"
        return (
            "the type was inferred from the records before: declare another in a schema file, "
            f'e.g. {{"{name}": "keyword"}}'
        )


def _text(value: Any, name: str, separator: str) -> str:
    """A title or text: strings, numbers, or a list of them (sentences, paragraphs)."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return _decoded(value)
    if isinstance(value, (list, tuple)) and not any(isinstance(v, (list, dict)) for v in value):
        return separator.join(filter(None, (_text(part, name, separator) for part in value)))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise RecordError(
        RejectReason.WRONG_TYPE,
        f"field {name!r}: expected text, got {type(value).__name__} {json_excerpt(value)}",
    )


def _decoded(value: bytes | str) -> str:
    try:
        if isinstance(value, bytes):
            return value.decode("utf-8")
        value.encode("utf-8")
    except UnicodeError as error:
        raise RecordError(RejectReason.ENCODING, encoding_detail(error)) from None
    return value


def _reject(record: RawRecord, reason: RejectReason, detail: str, doc_id: str | None) -> Reject:
    excerpt = json_excerpt(record.fields)
    return Reject(record.file, record.line, reason, detail, doc_id, excerpt)


def json_excerpt(value: Any) -> str:
    """The beginning of a value as JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)[:EXCERPT_CHARACTERS]
    except (RecursionError, ValueError):
        return ""
