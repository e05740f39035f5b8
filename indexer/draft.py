"""A segment in the making: documents go to disk as they come, rows wait for the statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from encoders.base import CorpusStatistics, Document, SparseRows, StatisticalEncoder
from indexer.corpus.passages import PassageSpan
from indexer.format.arrays import write_array
from indexer.format.commit import seal_directory
from indexer.format.documents import DocumentWriter
from indexer.format.manifest import SegmentEntry
from indexer.format.postings import (
    WINDOW_BITS,
    ImpactRows,
    build_postings,
    write_postings,
)
from indexer.format.segment import terms_name
from indexer.format.string_table import write_string_table
from indexer.rows import RowCollector, TextStatistics
from indexer.spaces import SpacePart
from kernels.cpu.quantisation import quantise

Spaces = Mapping[str, Sequence[SpacePart]]


@dataclass
class PartDraft:
    """What is gathered for one part: rows to be weighed and, if different, text statistics.

    For a statistical encoder the rows are token counts, which are the text's statistics too.
    """

    part: SpacePart
    rows: RowCollector
    statistics: TextStatistics | None
    token_count: int = 0
    saturated: int = 0


@dataclass
class SegmentDraft:
    """One segment being written to ``directory``.

    Call :meth:`add` for batches, :meth:`spill` to free memory, :meth:`weigh` once the encoders are
    fitted, and :meth:`finish` once the scales are known.
    """

    directory: Path
    spaces: Spaces
    parts: dict[str, PartDraft] = field(default_factory=dict)
    row_count: int = 0
    split: bool = False

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self._documents = DocumentWriter(self.directory)
        self._passage_doc: list[int] = []
        self._passage_span: list[tuple[int, int, int, int]] = []
        for space, parts in self.spaces.items():
            for part in parts:
                vocabulary = part.encoder.spec.vocabulary
                self.parts[f"{space}.{part.name}"] = PartDraft(
                    part,
                    RowCollector(open_vocabulary=vocabulary == "open"),
                    None if vocabulary == "open" else TextStatistics(vocabulary),
                )

    @property
    def document_count(self) -> int:
        """Documents so far."""
        return len(self._documents.doc_ids)

    @property
    def nnz(self) -> int:
        """Weights held so far, over all parts."""
        return sum(draft.rows.nnz for draft in self.parts.values())

    def add(
        self,
        documents: Sequence[Document],
        spans: Sequence[Sequence[PassageSpan]],
        passages: Sequence[Document],
        fields: Mapping[str, str],
    ) -> None:
        """Encodes and stores a batch.

        Args:
            documents: The documents.
            spans: Their passages' spans, at least one each.
            passages: What encoders see, one per span, in order.
            fields: Type names of all metadata fields.
        """
        first = self.document_count
        for number, document_spans in enumerate(spans):
            self.split |= len(document_spans) > 1
            for span in document_spans:
                self._passage_doc.append(first + number)
                self._passage_span.append(
                    (span.start, span.end, span.heading_start, span.heading_end)
                )
        self.row_count += len(passages)
        self._documents.add(documents, fields)
        for draft in self.parts.values():
            encoder = draft.part.encoder
            counts = encoder.count_tokens(passages)
            if isinstance(encoder, StatisticalEncoder):
                draft.rows.append(counts)
                draft.token_count += int(counts.weights.sum(dtype=np.float64))
                continue
            draft.rows.append(encoder.encode_documents(passages))
            if draft.statistics is not None:
                draft.statistics.append(counts)
                draft.token_count = draft.statistics.token_count

    def spill(self) -> None:
        """Ends adding: finishes the documents and moves rows to disk."""
        self._documents.close()
        for key, draft in self.parts.items():
            draft.rows.spill(self.directory / f"draft.{key}")

    def statistics(self, key: str) -> CorpusStatistics:
        """Sums over this segment's text in the tokens of the part ``SPACE.PART``."""
        return CorpusStatistics(self.row_count, self.parts[key].token_count)

    def weigh(self, spaces: Spaces) -> None:
        """Turns the token counts of statistical parts into weights, now that these are fitted."""
        for space, parts in spaces.items():
            for part in parts:
                if isinstance(part.encoder, StatisticalEncoder):
                    self.parts[f"{space}.{part.name}"].rows.reweigh(part.encoder.weigh)

    def finish(self, spaces: Spaces, scales: Mapping[str, float], ordinal: int) -> SegmentEntry:
        """Quantises and inverts the rows, and writes everything but the manifest.

        Args:
            spaces: The spaces with fitted encoders.
            scales: Document weight of one impact step, per ``SPACE.PART``.
            ordinal: Ordinal of the first document.
        """
        doc_freq_files = {}
        for space, parts in spaces.items():
            impact_rows = []
            for part in parts:
                key = f"{space}.{part.name}"
                rows, impacts = self._impacts(key, part, scales[key])
                if rows.terms is not None:
                    write_string_table(self.directory, terms_name(space, part.name), rows.terms)
                doc_freq_files[key] = f"{key}.doc_freq.npy"
                write_array(self.directory / doc_freq_files[key], self._doc_freq(key, rows))
                impact_rows.append(impacts)
            write_postings(self.directory, space, build_postings(impact_rows))
        write_string_table(self.directory, "doc_ids", self._documents.doc_ids)
        ordinals = np.arange(ordinal, ordinal + self.document_count, dtype=np.uint64)
        write_array(self.directory / "ordinals.npy", ordinals)
        if self.split:
            write_array(
                self.directory / "passage_doc.npy", np.array(self._passage_doc, dtype=np.uint32)
            )
            write_array(
                self.directory / "passage_span.npy",
                np.array(self._passage_span, dtype=np.uint32).reshape(-1, 4),
            )
        return SegmentEntry(
            name=self.directory.name,
            document_count=self.document_count,
            row_count=self.row_count,
            live_documents=self.document_count,
            live_rows=self.row_count,
            split=self.split,
            window_bits=WINDOW_BITS,
            token_counts={key: draft.token_count for key, draft in self.parts.items()},
            doc_freq_files=doc_freq_files,
            files=seal_directory(self.directory),
        )

    def _impacts(self, key: str, part: SpacePart, scale: float) -> tuple[SparseRows, ImpactRows]:
        draft = self.parts[key]
        rows = draft.rows.take()
        impacts = np.empty(rows.nnz, dtype=np.uint8)
        draft.saturated = quantise(rows.weights, scale, impacts)
        vocabulary = part.encoder.spec.vocabulary
        size = len(rows.terms or ()) if vocabulary == "open" else vocabulary
        return rows, ImpactRows(rows.indptr, rows.dimensions, impacts, size)

    def _doc_freq(self, key: str, rows: SparseRows) -> np.ndarray:
        statistics = self.parts[key].statistics
        if statistics is not None:
            return statistics.doc_freq
        size = len(rows.terms or ())
        return np.bincount(rows.dimensions, minlength=size).astype(np.uint32)
