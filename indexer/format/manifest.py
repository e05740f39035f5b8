"""The manifest: the one file that says what an index holds.

``manifest.json`` names every other file with its size and xxh3 checksum, and ends with a checksum
of itself. It is replaced atomically (``indexer.format.commit``), so that a reader sees the old
generation or the new one, whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from encoders.base import EncoderSpec
from encoders.static_config import MAX_RERANK_WEIGHT, MINILM_NAME, has_dense_documents
from indexer.errors import (
    IncompatibleIndexError,
    IndexCorruptError,
    IndexerError,
    IndexNotFoundError,
)

FORMAT = "winnow-index"
FORMAT_VERSION = "0.3"
MANIFEST_NAME = "manifest.json"
FIELD_TYPES = frozenset({"keyword", "integer", "float", "boolean", "date", "keywords"})


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Model):
    """Size in bytes and xxh3-64 (hexadecimal) of a file."""

    size: int = Field(ge=0)
    xxh3: str


class EncoderEntry(_Model):
    """An :class:`encoders.base.EncoderSpec` as JSON, with the expression that made it."""

    kind: str
    name: str
    argument: str | None = None
    vocabulary: Literal["open"] | int
    aggregation: Literal["binary", "sum"]
    max_length: int | None = None
    max_weight: float | None = None
    parameters: dict[str, str | int | float | bool | None] = {}

    @classmethod
    def from_spec(cls, spec: EncoderSpec, argument: str | None) -> EncoderEntry:
        """The entry of a fitted encoder."""
        return cls(
            kind=spec.kind,
            name=spec.name,
            argument=argument,
            vocabulary=spec.vocabulary,
            aggregation=spec.aggregation,
            max_length=spec.max_length,
            max_weight=spec.max_weight,
            parameters=dict(spec.parameters),
        )


class QueryEntry(_Model):
    """How queries of a part are encoded, without the encoder.

    ``table`` says where query weights come from: the idf of the indexed text (``corpus-idf``), the
    same without English stop words and punctuation (``content-idf``, fixed vocabularies only), or
    the file ``table_file`` (``published``: the checkpoint's own).
    """

    analyzer: str
    tokenizer_file: str | None = None
    table: Literal["corpus-idf", "content-idf", "published"]
    table_file: str | None = None


class PartEntry(_Model):
    """One part of a space.

    ``scale`` is the document weight of one impact step, fixed at the space's first commit.
    """

    name: str
    weight: float = Field(gt=0, allow_inf_nan=False)
    encoder: EncoderEntry
    query: QueryEntry
    scale: float = Field(gt=0, allow_inf_nan=False)


class SpaceEntry(_Model):
    """Parts whose dimensions stand side by side in one set of postings."""

    parts: tuple[PartEntry, ...] = Field(min_length=1)

    def part(self, name: str) -> PartEntry | None:
        """The part of this name."""
        return next((part for part in self.parts if part.name == name), None)


class RerankEntry(_Model):
    """Vectors (``encoders.document_vectors``) that re-rank the first documents of a search.

    Attributes:
        argument: Directory of a table of static vectors; ``minilm``, with or without a colon and
            the checkpoint's directory, for documents that all-MiniLM-L6-v2 has read; ``None`` for
            the static vectors that come with Winnow.
        content_hash: Of all that decides a document's vector.
        weight: Of the cosine beside scores.
        depth: How many documents are ranked again.
        dimensions: Components of a vector.
        tokenizer_file: Tokens of queries.
        table_file: int8[V, d], a vector per token.
        weights_file: float32[V], worth of a step of a token's vector in a query.
    """

    argument: str | None = None
    content_hash: str
    weight: float = Field(gt=0, le=MAX_RERANK_WEIGHT, allow_inf_nan=False)
    depth: int = Field(ge=1)
    dimensions: int = Field(ge=1)
    tokenizer_file: str
    table_file: str
    weights_file: str

    @property
    def files(self) -> tuple[str, ...]:
        """Paths relative to the index."""
        return self.tokenizer_file, self.table_file, self.weights_file

    @property
    def label(self) -> str:
        """What the vectors are, for a person."""
        dense = has_dense_documents(self.argument)
        return f"vectors of {MINILM_NAME}" if dense else "static vectors"


class SegmentEntry(_Model):
    """One immutable segment.

    ``document_count`` and ``row_count`` include deleted documents; ``live_documents``,
    ``live_rows`` and ``token_counts`` (one per ``SPACE.PART``) don't. ``reordered`` says that its
    passages are kept in another order than that of arrival, ``compressed`` that its postings are
    decoded into memory when it is opened.
    """

    name: str
    document_count: int = Field(ge=0)
    row_count: int = Field(ge=0)
    live_documents: int = Field(ge=0)
    live_rows: int = Field(ge=0)
    split: bool
    reordered: bool = False
    compressed: bool = False
    window_bits: int
    token_counts: dict[str, int]
    tombstones: str | None = None
    doc_freq_files: dict[str, str]
    files: dict[str, FileEntry]


class Manifest(_Model):
    """See the module docstring."""

    format: Literal["winnow-index"] = "winnow-index"
    version: str = FORMAT_VERSION
    generation: int = Field(ge=1)
    created_at: str
    default_space: str
    next_ordinal: int = Field(ge=0)
    settings: dict[str, Any] = {}
    fields: dict[str, str] = {}
    spaces: dict[str, SpaceEntry]
    rerank: RerankEntry | None = None
    segments: tuple[SegmentEntry, ...] = ()
    files: dict[str, FileEntry] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        parts = [(space, part) for space, entry in self.spaces.items() for part in entry.parts]
        keys = {f"{space}.{part.name}" for space, part in parts}
        if self.default_space not in self.spaces or len(keys) != len(parts):
            raise ValueError("no default space, or two parts of one name")
        if not FIELD_TYPES.issuperset(self.fields.values()):
            raise ValueError("unknown types of fields")
        for _, part in parts:
            for name in filter(None, (part.query.tokenizer_file, part.query.table_file)):
                if name not in self.files:
                    raise ValueError(f"{name} is not among the files")
        for name in self.rerank.files if self.rerank else ():
            if name not in self.files:
                raise ValueError(f"{name} is not among the files")
        for segment in self.segments:
            if segment.doc_freq_files.keys() != keys or segment.token_counts.keys() != keys:
                raise ValueError(f"segment {segment.name} has other parts")
            if segment.live_documents > segment.document_count:
                raise ValueError(f"segment {segment.name} has more live documents than documents")
            if segment.live_rows > segment.row_count:
                raise ValueError(f"segment {segment.name} has more live passages than passages")
        for path in self.all_files():
            if path.startswith("/") or ".." in path.split("/"):
                raise ValueError(f"{path} lies outside the index")
        return self

    def all_files(self) -> dict[str, FileEntry]:
        """Every file of the index but the manifest, by path relative to the index."""
        result = dict(self.files)
        for segment in self.segments:
            for name, entry in segment.files.items():
                result[f"segments/{segment.name}/{name}"] = entry
        return result

    @property
    def document_count(self) -> int:
        """Documents that searches can return."""
        return sum(segment.live_documents for segment in self.segments)

    @property
    def row_count(self) -> int:
        """Passages that searches can return."""
        return sum(segment.live_rows for segment in self.segments)


def serialise(manifest: Manifest) -> bytes:
    """Canonical bytes, the checksum of all others last."""
    payload = manifest.model_dump(mode="json")
    body = json.dumps(payload, indent=1, sort_keys=True, ensure_ascii=True).encode()
    return body.removesuffix(b"\n}") + _checksum_line(body)


def _checksum_line(body: bytes) -> bytes:
    return b',\n "~checksum": "' + xxhash.xxh3_64_hexdigest(body).encode() + b'"\n}\n'


def parse(content: bytes, path: Path) -> Manifest:
    """Reads manifest bytes.

    Raises:
        IndexCorruptError: Any bit differs from what was written.
        IncompatibleIndexError: It was written in another format version.
    """
    try:
        payload = json.loads(content)
        version = payload["version"]
        del payload["~checksum"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise IndexCorruptError(path, "not a manifest, or altered") from None
    length = len(_checksum_line(b""))
    if content[-length:] != _checksum_line(content[:-length] + b"\n}"):
        raise IndexCorruptError(path, "the manifest's checksum does not match its content")
    if version != FORMAT_VERSION:
        raise IncompatibleIndexError(
            f"{path}: written in index format {version}, this version reads {FORMAT_VERSION}. "
            "Build the index again, or install the version that wrote it."
        )
    try:
        return Manifest.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise IndexCorruptError(path, f"not a valid manifest ({reason})") from None


def read_manifest(index: Path) -> Manifest:
    """The current generation of the index at this path.

    Raises:
        IndexNotFoundError: There is no index.
        IndexCorruptError: The manifest is damaged.
        IncompatibleIndexError: The format is another one.
    """
    path = index / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise IndexNotFoundError(
            f"{index}: no index here (no {MANIFEST_NAME}). Build one with: "
            f"indexer build CORPUS -o {index}"
        ) from None
    except OSError as error:
        raise IndexerError(f"{path}: cannot be read ({error.strerror}).") from None
    return parse(content, path)
