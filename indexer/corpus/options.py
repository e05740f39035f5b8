"""How a corpus is to be read."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from indexer.corpus.records import FieldType
from indexer.errors import CorpusError


class CorpusFormat(StrEnum):
    """Formats that readers exist for, each also with ``.gz``, ``.xz`` or ``.zst``."""

    BEIR = "beir"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"
    TSV = "tsv"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """Which fields hold identifier, title and text; ``None`` leaves it to inference.

    Attributes:
        doc_id: Field of the identifier.
        title: Field of the title; ``""`` for none.
        text: Field or fields of the text, joined by line breaks; ``()`` for none.

    >>> FieldMapping(text=("abstract", "body")).text_fields
    ('abstract', 'body')
    """

    doc_id: str | None = None
    title: str | None = None
    text: str | tuple[str, ...] | None = None

    @property
    def text_fields(self) -> tuple[str, ...]:
        """``text`` as a tuple."""
        if self.text is None:
            return ()
        return (self.text,) if isinstance(self.text, str) else tuple(self.text)

    @property
    def names(self) -> frozenset[str]:
        """All fields named here."""
        return frozenset(filter(None, (self.doc_id, self.title, *self.text_fields)))


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """Options of :func:`indexer.corpus.reader.open_corpus`; the defaults suit most corpora.

    Attributes:
        mapping: Fields of identifier, title and text.
        types: Types of metadata fields, before those of ``schema_file``.
        schema_file: JSON object ``{"field": "type"}``; see :class:`FieldType` for the types.
        format: Read only this format; ``None`` finds out.
        generate_ids: Where no record of the sample has an identifier, use ``file:line``.
        known_ids: Identifiers that count as taken.
        max_record_bytes: Longer records are rejected.
        sample_size: Records from which fields and types are inferred.
    """

    mapping: FieldMapping = field(default_factory=FieldMapping)
    types: Mapping[str, FieldType | str] = field(default_factory=dict)
    schema_file: Path | None = None
    format: CorpusFormat | str | None = None
    generate_ids: bool = False
    known_ids: Container[str] = frozenset()
    max_record_bytes: int = 64 << 20
    sample_size: int = 1000

    def __post_init__(self) -> None:
        for name in ("max_record_bytes", "sample_size"):
            if getattr(self, name) < 1:
                raise CorpusError(f"{name} must be at least 1, got {getattr(self, name)}.")

    def required_format(self) -> CorpusFormat | None:
        """``format`` as a member.

        Raises:
            CorpusError: There is no such format.
        """
        if self.format is None:
            return None
        try:
            return CorpusFormat(self.format)
        except ValueError:
            raise CorpusError(
                f"unknown corpus format {self.format!r}. Known: {', '.join(CorpusFormat)}."
            ) from None

    def declared_types(self) -> dict[str, FieldType]:
        """Types of the schema file, overridden by ``types``.

        Raises:
            CorpusError: The file cannot be read, or a type is unknown.
        """
        declared: dict[str, str] = {}
        if self.schema_file is not None:
            declared.update(_load_schema(Path(self.schema_file)))
        declared.update(self.types)
        try:
            return {name: FieldType(kind) for name, kind in declared.items()}
        except ValueError as error:
            raise CorpusError(
                f"unknown field type: {error}. Known types: {', '.join(FieldType)}."
            ) from None


def _load_schema(path: Path) -> dict[str, str]:
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{path}: the schema file cannot be read: {error}") from None
    if not isinstance(schema, dict) or not all(isinstance(v, str) for v in schema.values()):
        raise CorpusError(
            f'{path}: a schema file is a JSON object such as {{"year": "integer"}}, '
            f"with the types {', '.join(FieldType)}."
        )
    return schema
