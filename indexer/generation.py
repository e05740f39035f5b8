"""Writes one generation of an index from a stream of documents.

The stream is read once. Rows are gathered per segment; when the stream ends, statistics are
pinned (BM25's average length) and scales chosen, then every segment is weighed, quantised,
inverted and sealed, and one manifest makes them visible.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from encoders.base import CorpusStatistics, Document, StatisticalEncoder
from encoders.document_vectors import DocumentVectors
from indexer.corpus.records import CorpusRecord, Reject, RejectLog, RejectReason
from indexer.draft import SegmentDraft, Spaces
from indexer.encoding import report_encoding, report_vectors
from indexer.errors import IndexerError, NothingIndexedError
from indexer.fields import MAX_FIELDS, FieldError, fit_fields
from indexer.format.commit import (
    SEGMENTS,
    commit_manifest,
    last_generation,
    remove_unnamed_files,
)
from indexer.format.manifest import (
    EncoderEntry,
    FileEntry,
    Manifest,
    PartEntry,
    RerankEntry,
    SpaceEntry,
)
from indexer.format.segment import Segment
from indexer.passaging import Passager
from indexer.query_files import write_query_files, write_rerank_files
from indexer.report import BuildReport, PartReport
from indexer.scales import choose_scales
from indexer.settings import (
    BATCH_CHARACTERS,
    BATCH_DOCUMENTS,
    BYTES_PER_WEIGHT,
    BuildSettings,
)
from indexer.spaces import SpacePart
from indexer.tombstones import LiveDocuments, without_documents

Progress = Callable[[str, int], None]
"""Called with a stage (``encode``, ``invert``) and the documents done in it."""


@dataclass
class Intake:
    """What was read: counts, and segments that wait for the statistics."""

    documents: int = 0
    passages: int = 0
    split_documents: int = 0
    title_only: int = 0
    without_text: int = 0
    ordering_seconds: float = 0.0
    drafts: list[SegmentDraft] = field(default_factory=list)


@dataclass
class GenerationWriter:
    """Writes the generation that follows ``current``.

    Attributes:
        index: Directory of the index, locked by the caller.
        spaces: Encoders per space; the first space is the default one.
        settings: Passages and memory.
        progress: Called as the work goes on.
        current: The generation that is there, if any.
        base: The generation whose documents stay, but for ``replaced``; ``None`` to start afresh.
        fields: Types of metadata fields; grows.
        replace: Whether a document of an id that the base holds replaces that one, in place of
            being rejected.
        replaced: Ids of the base's documents that this generation leaves out.
        vectors: What gives passages static vectors, if the index is to re-rank.
    """

    index: Path
    spaces: Spaces
    settings: BuildSettings
    progress: Progress
    current: Manifest | None
    base: Manifest | None = None
    fields: dict[str, str] = field(default_factory=dict)
    replace: bool = False
    replaced: list[str] = field(default_factory=list)
    vectors: DocumentVectors | None = None

    def __post_init__(self) -> None:
        last = self.current.generation if self.current else last_generation(self.index)
        self.generation = last + 1
        if len(self.fields) > MAX_FIELDS:
            raise IndexerError(
                f"{len(self.fields):,} metadata fields, of which an index holds {MAX_FIELDS:,}: "
                "each is a column over all documents. Keep names that vary from record to record "
                "out of the metadata, as values of a keyword list or in the text."
            )
        self._passager = Passager(self.spaces, self.settings)

    def write(self, records: Iterable[CorpusRecord], rejects: RejectLog) -> BuildReport:
        """Reads all records and commits."""
        started = time.perf_counter()
        intake = self._read(records, rejects)
        if self.base is None and not intake.documents and rejects.total:
            shown = "".join(f" {first.place}: {first.message}." for first in rejects.samples[:1])
            listed = "" if rejects.path is None else f" All of them: {rejects.path}"
            raise NothingIndexedError(
                f"all {rejects.total:,} records were rejected, and no index was written (one that "
                f"is there stays).{shown}{listed}"
            )
        read = time.perf_counter()
        self.progress("invert", 0)
        manifest, parts = self._finish(intake)
        commit_manifest(self.index, manifest)
        remove_unnamed_files(self.index, manifest)
        for entry in manifest.segments[-1:]:  # so that the first search finds the kernels compiled
            Segment(self.index, entry, manifest.spaces).warm_up()
        self.progress("invert", intake.documents)
        return BuildReport(
            index=self.index,
            generation=self.generation,
            documents=intake.documents,
            passages=intake.passages,
            split_documents=intake.split_documents,
            title_only=intake.title_only,
            without_text=intake.without_text,
            rejected={str(reason): count for reason, count in rejects.counts.items()},
            rejects_file=rejects.path if rejects.counts else None,
            parts=parts,
            size_bytes=sum(entry.size for entry in manifest.all_files().values()),
            segments=len(manifest.segments),
            replaced=len(self.replaced),
            reranked=manifest.rerank.depth if manifest.rerank else 0,
            vectors=manifest.rerank.label if manifest.rerank else "",
            vector_encoding=report_vectors(
                self.vectors, intake.passages, sum(draft.vector_seconds for draft in intake.drafts)
            ),
            seconds={
                "encode": read - started,
                "order": intake.ordering_seconds,
                "invert": time.perf_counter() - read - intake.ordering_seconds,
            },
        )

    def _read(self, records: Iterable[CorpusRecord], rejects: RejectLog) -> Intake:
        intake = Intake(drafts=[self._new_draft(0)])
        for batch in _batches(self._admitted(records, rejects)):
            draft = intake.drafts[-1]
            if draft.row_count and (
                draft.nnz * BYTES_PER_WEIGHT > self.settings.memory_bytes
                or draft.row_count >= self.settings.segment_rows
            ):
                draft.spill()
                draft = self._new_draft(len(intake.drafts))
                intake.drafts.append(draft)
            spans, passages = self._passager.split(batch)
            draft.add(batch, spans, passages, self.fields)
            intake.documents += len(batch)
            intake.passages += len(passages)
            intake.split_documents += sum(len(document_spans) > 1 for document_spans in spans)
            for document in batch:
                if not document.text.strip():
                    intake.title_only += bool(document.title.strip())
                    intake.without_text += not document.title.strip()
            self.progress("encode", intake.documents)
        intake.drafts[-1].spill()
        return intake

    def _admitted(self, records: Iterable[CorpusRecord], rejects: RejectLog) -> Iterator[Document]:
        """Documents that are new, or may replace one, and whose metadata fit the fields so far."""
        held = LiveDocuments(self.index, self.base) if self.base else ()
        for record in records:
            doc_id = record.document.doc_id
            is_held = doc_id in held
            if is_held and not self.replace:
                reason = RejectReason.REPEATED_ID
                detail = "the index holds a document of this id; replace it with --replace"
                rejects.add(Reject(record.file, record.line, reason, detail, doc_id))
                continue
            try:
                document = fit_fields(record.document, self.fields)
            except FieldError as error:
                rejects.add(Reject(record.file, record.line, error.reason, str(error), doc_id))
                continue
            if is_held:  # not before: the old one stays where the new one is rejected
                self.replaced.append(doc_id)
            yield document

    def _new_draft(self, number: int) -> SegmentDraft:
        name = f"g{self.generation:06d}-{number:04d}"
        return SegmentDraft(self.index / SEGMENTS / name, self.spaces, self.vectors)

    def _finish(self, intake: Intake) -> tuple[Manifest, tuple[PartReport, ...]]:
        drafts, base = intake.drafts, self.base
        if base and self.replaced:
            base = without_documents(self.index, base, self.replaced, self.generation)
        # Statistics and scales come from the first documents that an index gets.
        pinned = base if base and base.next_ordinal else None
        fitted = self.spaces if pinned else _fit(self.spaces, drafts)
        for draft in drafts:
            draft.weigh(fitted)
        scales = choose_scales(fitted, drafts, pinned)
        nnz = {key: sum(draft.parts[key].rows.nnz for draft in drafts) for key in scales}
        segments = list(base.segments) if base else []
        ordinal = base.next_ordinal if base else 0
        for draft in drafts:
            entry, order = draft.finish(fitted, scales, ordinal, self.settings)
            segments.append(entry)
            ordinal += draft.document_count
            intake.ordering_seconds += order.seconds if order else 0.0
        if base:
            entries, files = _refitted(base.spaces, fitted, scales), base.files
            rerank = base.rerank
        else:
            entries, files, rerank = self._describe_spaces(fitted, scales)
        manifest = Manifest(
            generation=self.generation,
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            default_space=base.default_space if base else next(iter(entries)),
            next_ordinal=ordinal,
            settings=self.settings.model_dump(mode="json"),
            fields=dict(sorted(self.fields.items())),
            spaces=entries,
            rerank=rerank,
            segments=tuple(segment for segment in segments if segment.document_count),
            files=files,
        )
        encoders = {
            f"{space}.{part.name}": part.encoder
            for space, parts in fitted.items()
            for part in parts
        }
        reports = tuple(
            PartReport(
                name=key,
                nnz=nnz[key],
                scale=scale,
                saturated=sum(draft.parts[key].saturated for draft in drafts),
                truncated=self._passager.truncated.get(key, 0),
                drift=_drift(key, manifest),
                encoding=report_encoding(
                    encoders[key],
                    intake.passages,
                    sum(draft.parts[key].encode_seconds for draft in drafts),
                ),
            )
            for key, scale in scales.items()
        )
        return manifest, reports

    def _describe_spaces(
        self, fitted: Spaces, scales: Mapping[str, float]
    ) -> tuple[dict[str, SpaceEntry], dict[str, FileEntry], RerankEntry | None]:
        query, files = write_query_files(self.index, fitted, self.generation)
        entries = {}
        for space, parts in fitted.items():
            keys = [f"{space}.{part.name}" for part in parts]
            entries[space] = SpaceEntry(
                parts=tuple(
                    PartEntry(
                        name=part.name,
                        weight=part.expression.weight,
                        encoder=EncoderEntry.from_spec(part.encoder.spec, part.expression.argument),
                        query=query[key],
                        scale=scales[key],
                    )
                    for key, part in zip(keys, parts, strict=True)
                )
            )
        if self.vectors is None:
            return entries, files, None
        rerank, more = write_rerank_files(self.index, self.vectors, self.generation)
        return entries, files | more, rerank


def _refitted(
    entries: Mapping[str, SpaceEntry], fitted: Spaces, scales: Mapping[str, float]
) -> dict[str, SpaceEntry]:
    """The entries with these encoders and scales; their query side stays."""
    return {
        space: SpaceEntry(
            parts=tuple(
                entry.model_copy(
                    update={
                        "encoder": EncoderEntry.from_spec(
                            part.encoder.spec, entry.encoder.argument
                        ),
                        "scale": scales[f"{space}.{entry.name}"],
                    }
                )
                for entry, part in zip(entries[space].parts, parts, strict=True)
            )
        )
        for space, parts in fitted.items()
    }


def _fit(spaces: Spaces, drafts: Sequence[SegmentDraft]) -> Spaces:
    """Pins the collection's statistics in the encoders that need them."""
    fitted: dict[str, tuple[SpacePart, ...]] = {}
    for space, parts in spaces.items():
        row = []
        for part in parts:
            encoder = part.encoder
            if isinstance(encoder, StatisticalEncoder):
                sums = [draft.statistics(f"{space}.{part.name}") for draft in drafts]
                encoder = encoder.fit(
                    CorpusStatistics(
                        sum(s.row_count for s in sums), sum(s.token_count for s in sums)
                    )
                )
            row.append(SpacePart(part.expression, encoder))
        fitted[space] = tuple(row)
    return fitted


def _drift(key: str, manifest: Manifest) -> float | None:
    """Average length of the live passages relative to the pinned one."""
    space, _, name = key.partition(".")
    part = manifest.spaces[space].part(name)
    pinned = part.encoder.parameters.get("average_length") if part else None
    tokens = sum(segment.token_counts[key] for segment in manifest.segments)
    if not isinstance(pinned, float) or not tokens:
        return None
    return tokens / manifest.row_count / pinned


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text) + len(document.title)
        if len(batch) == BATCH_DOCUMENTS or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
