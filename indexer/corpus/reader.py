"""Opens a corpus of any known format and reads it as a stream of typed documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.base import Document
from indexer.corpus.delimited import read_delimited
from indexer.corpus.description import CorpusDescription
from indexer.corpus.documents import DocumentFactory
from indexer.corpus.field_types import infer_types
from indexer.corpus.jsonl import read_json
from indexer.corpus.layout import InputFile, Layout, find_layout, plain_name
from indexer.corpus.mapping import flatten, infer_mapping, metadata_keys_are_free
from indexer.corpus.options import CorpusFormat, CorpusOptions, FieldMapping
from indexer.corpus.records import (
    CorpusRecord,
    FieldType,
    RawRecord,
    Reject,
    RejectLog,
    RejectReason,
)
from indexer.corpus.streams import ByteCount, DamagedStreamError
from indexer.corpus.text_files import TEXT_MAPPING, read_text_file
from indexer.errors import CorpusError

__all__ = ["Corpus", "CorpusCounts", "CorpusOptions", "FieldMapping", "open_corpus"]

SAMPLE_BYTES = 32 << 20
SAMPLE_DOCUMENTS = 3


@dataclass(slots=True)
class CorpusCounts:
    """Records so far: ``read == accepted + rejected``.

    ``title_only`` documents have a title and no text, ``without_text`` ones have neither; both
    are accepted.
    """

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    title_only: int = 0
    without_text: int = 0


class Corpus:
    """A stream of documents, to be read once; see :func:`open_corpus`.

    Attributes:
        description: What was found out from the sample.
        counts: Counts so far.
        types: Types of metadata fields; fields that the sample lacks are added as they come.
        bytes_total: Size of the files on disk, ``None`` for standard input.
    """

    def __init__(
        self,
        description: CorpusDescription,
        items: Iterator[RawRecord | Reject],
        factory: DocumentFactory,
        options: CorpusOptions,
        rejects: RejectLog,
        count: ByteCount,
        bytes_total: int | None,
    ) -> None:
        self.description = description
        self.counts = CorpusCounts()
        self.bytes_total = bytes_total
        self._items: Iterator[RawRecord | Reject] | None = items
        self._factory = factory
        self._known_ids = options.known_ids
        self._rejects = rejects
        self._count = count

    @property
    def bytes_read(self) -> int:
        """Bytes taken from disk so far, before decompression."""
        return self._count.value

    @property
    def types(self) -> Mapping[str, FieldType]:
        """Types of all metadata fields so far."""
        return self._factory.types

    def __iter__(self) -> Iterator[CorpusRecord]:
        """Reads the corpus.

        Raises:
            CorpusError: It was read before, or the reject log is strict and a record is bad.
        """
        if self._items is None:
            raise CorpusError(
                f"{self.description.source}: a corpus is read once; open it again to read it again."
            )
        items, self._items = self._items, None
        return self._records(items)

    def _records(self, items: Iterator[RawRecord | Reject]) -> Iterator[CorpusRecord]:
        counts, known, seen = self.counts, self._known_ids, set[str]()
        make_document = self._factory.document
        for item in items:
            counts.read += 1
            if isinstance(item, Reject):
                self._reject(item)
                continue
            document = make_document(item)
            if isinstance(document, Reject):
                self._reject(document)
                continue
            doc_id = document.doc_id
            if doc_id in seen or doc_id in known:
                where = (
                    "in the corpus; the first one is" if doc_id in seen else "in the index; it is"
                )
                detail = f"{doc_id!r} is already {where} kept"
                reason = RejectReason.REPEATED_ID
                excerpt = f"{document.title} {document.text[:200]}"
                self._reject(Reject(item.file, item.line, reason, detail, doc_id, excerpt))
                continue
            seen.add(doc_id)
            counts.accepted += 1
            if not document.text or document.text.isspace():
                if document.title and not document.title.isspace():
                    counts.title_only += 1
                else:
                    counts.without_text += 1
            yield CorpusRecord(document, item.file, item.line)

    def _reject(self, reject: Reject) -> None:
        self.counts.rejected += 1
        self._rejects.add(reject)


def open_corpus(
    source: str | Path, options: CorpusOptions | None = None, rejects: RejectLog | None = None
) -> Corpus:
    """Opens a corpus: finds its files, infers fields and types, and reads no further.

    Formats and their precedence in a mixed folder: :mod:`indexer.corpus.layout`. Memory is
    bounded by the sample and a batch, but for the identifiers, which are kept to find repeated
    ones.

    Args:
        source: A folder, a file, or ``-`` for standard input.
        options: How to read it.
        rejects: Gets the records that cannot be indexed.

    Raises:
        CorpusError: There is no such corpus, or the options do not fit it.

    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "notes.jsonl")
    ...     _ = path.write_text(json.dumps({"id": 7, "text": "a gate", "year": 1999}))
    ...     [record.document for record in open_corpus(path)]
    [Document(doc_id='7', text='a gate', title='', metadata={'year': 1999})]
    """
    options = options or CorpusOptions()
    declared = options.declared_types()
    count = ByteCount()
    layout = find_layout(source, options.required_format(), count)
    left_out: set[str] = set()
    items = _read_files(layout.files, options, count, left_out)
    sample = _take_sample(items, options.sample_size)
    raw = [item.fields for item in sample if isinstance(item, RawRecord)]
    is_text = layout.format is CorpusFormat.TEXT
    lift = metadata_keys_are_free(raw)
    flat = [] if is_text else list(_flattened(raw, lift))
    mapping = TEXT_MAPPING if is_text else infer_mapping(flat, options.mapping)
    for name in sorted(mapping.names & declared.keys()):
        raise CorpusError(
            f"the field {name!r} has a declared type, but it is the identifier, title or text. "
            "Take it out of the schema, or map the fields otherwise."
        )
    parse_text = layout.format in (CorpusFormat.CSV, CorpusFormat.TSV)
    metadata = [{k: v for k, v in fields.items() if k not in mapping.names} for fields in flat]
    inferred = infer_types(metadata, parse_text=parse_text)
    names = {file.shown: file.name for file in layout.files}
    generate = options.generate_ids and mapping.doc_id is None
    factory = DocumentFactory(
        mapping,
        inferred | declared,
        declared=frozenset(declared),
        lift=lift,
        parse_text=parse_text,
        generated_id=(lambda record: f"{names[record.file]}:{record.line}") if generate else None,
    )
    description = CorpusDescription(
        source=str(source),
        kind=layout.format,
        files=tuple(file.name for file in layout.files),
        passed_over=_passed_over(layout, left_out),
        mapping=mapping,
        types=dict(factory.types),
        generated_ids=generate,
        sample=tuple(itertools.islice(_documents(sample, factory), SAMPLE_DOCUMENTS)),
    )
    total = None if layout.files[0].path is None else sum(file.size for file in layout.files)
    chained = itertools.chain(sample, items)
    return Corpus(description, chained, factory, options, rejects or RejectLog(), count, total)


def _read_files(
    files: tuple[InputFile, ...], options: CorpusOptions, count: ByteCount, left_out: set[str]
) -> Iterator[RawRecord | Reject]:
    for file in files:
        line: int | None = None
        try:
            for item in _read_file(file, options, count, left_out):
                line = item.line
                yield item
        except DamagedStreamError as error:
            after = "" if line is None else f"; the records up to line {line} were read"
            detail = f"{error}{after}"
            line = None if file.format is CorpusFormat.TEXT else (line or 0) + 1
            yield Reject(file.shown, line, RejectReason.DAMAGED, detail)
        except OSError as error:
            yield Reject(file.shown, None, RejectReason.UNREADABLE, error.strerror or str(error))


def _read_file(
    file: InputFile, options: CorpusOptions, count: ByteCount, left_out: set[str]
) -> Iterator[RawRecord | Reject]:
    limit = options.max_record_bytes
    if file.format is CorpusFormat.TEXT:
        yield from read_text_file(file, limit, count)
    elif file.format in (CorpusFormat.PARQUET, CorpusFormat.ARROW):
        from indexer.corpus.columnar import read_columnar

        yield from read_columnar(file, limit, options.mapping.names, count, left_out)
    else:
        with file.open(count) as stream:
            if file.format in (CorpusFormat.CSV, CorpusFormat.TSV):
                tabs = file.format is CorpusFormat.TSV
                yield from read_delimited(stream, file.shown, limit, tabs=tabs)
            else:
                pretty = plain_name(file.name).endswith(".json") or file.path is None
                yield from read_json(stream, file.shown, limit, pretty=pretty)


def _take_sample(items: Iterator[RawRecord | Reject], size: int) -> list[RawRecord | Reject]:
    sample: list[RawRecord | Reject] = []
    held = 0
    for item in itertools.islice(items, size):
        sample.append(item)
        if isinstance(item, RawRecord):
            held += sum(len(value) for value in item.fields.values() if isinstance(value, str))
        if held > SAMPLE_BYTES:
            break
    return sample


def _flattened(records: list[dict[str, Any]], lift: bool) -> Iterator[dict[str, Any]]:
    for fields in records:
        try:
            yield flatten(fields, lift=lift)
        except (ValueError, RecursionError):
            continue


def _documents(sample: list[RawRecord | Reject], factory: DocumentFactory) -> Iterator[Document]:
    for item in sample:
        document = factory.document(item) if isinstance(item, RawRecord) else item
        if isinstance(document, Document):
            yield document


def _passed_over(layout: Layout, left_out: set[str]) -> dict[str, tuple[str, ...]]:
    passed_over = {reason: tuple(names) for reason, names in layout.passed_over.items()}
    if left_out:
        passed_over["columns that metadata cannot hold"] = tuple(sorted(left_out))
    return passed_over
