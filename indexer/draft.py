"""A segment in the making: documents go to disk as they come, rows wait for the statistics."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from encoders.base import CorpusStatistics, Document, StatisticalEncoder
from encoders.document_vectors import DocumentVectors
from indexer.corpus.passages import PassageSpan
from indexer.format.documents import DocumentWriter
from indexer.format.manifest import SegmentEntry
from indexer.format.postings import ImpactRows
from indexer.format.segment import terms_name
from indexer.format.string_table import write_string_table
from indexer.format.vectors import VectorCollector
from indexer.reorder import RowOrder
from indexer.rows import RowCollector, TextStatistics
from indexer.sealing import PartRows, Passages, seal_segment
from indexer.settings import BuildSettings
from indexer.spaces import SpacePart
from kernels.cpu.inversion import count_dimensions
from kernels.cpu.quantisation import quantise

Spaces = Mapping[str, Sequence[SpacePart]]


class PartDraft:
    """One part of a segment in the making: rows to be weighed, and statistics of the text.

    The rows of a statistical encoder are token counts, which are the text's statistics too. The
    statistics of others come from ``count_tokens``: what an expansion adds, or pruning takes, does
    not change them.

    Attributes:
        encode_seconds: Time spent on learned weights.

    Args:
        directory: The segment.
        space: Name of the space.
        part: The part, its encoder not yet fitted perhaps.
    """

    def __init__(self, directory: Path, space: str, part: SpacePart) -> None:
        self.directory = directory
        self.part = part
        self.space = space
        self.token_count = 0
        self.saturated = 0
        self.encode_seconds = 0.0
        vocabulary = part.encoder.spec.vocabulary
        prefix = directory / f"draft.{space}.{part.name}"
        self.rows = RowCollector(prefix, open_vocabulary=vocabulary == "open")
        self._size = 0 if vocabulary == "open" else vocabulary
        self._statistics: TextStatistics | None = None
        if not isinstance(part.encoder, StatisticalEncoder):
            self._statistics = TextStatistics(self._size)

    def add(self, passages: Sequence[Document]) -> None:
        """Encodes a batch of passages."""
        encoder = self.part.encoder
        counts = encoder.count_tokens(passages)
        if isinstance(encoder, StatisticalEncoder):
            self.rows.append(counts)
            self.token_count += int(counts.weights.sum(dtype=np.float64))
            return
        started = time.perf_counter()
        rows = encoder.encode_documents(passages)
        self.encode_seconds += time.perf_counter() - started
        self.rows.append(rows)
        if self._statistics is not None:
            # A token without weight is in the dictionary too: documents of others may hold it.
            self._statistics.append(counts, self.rows.numbers(counts))
            self.token_count = self._statistics.token_count

    def finish(self) -> None:
        """Ends adding, and writes the dictionary of an open vocabulary."""
        terms = self.rows.finish()
        if terms is not None:
            self._size = len(terms)
            write_string_table(self.directory, terms_name(self.space, self.part.name), terms)

    def quantised(self, scale: float) -> PartRows:
        """The weighed rows in impacts; their files are removed."""
        rows = self.rows.take()
        impacts = np.empty(rows.nnz, dtype=np.uint8)
        self.saturated = quantise(rows.weights, scale, impacts)
        if self._statistics is not None:
            doc_freq = self._statistics.doc_freq(self.rows.rank)
        else:
            doc_freq = np.zeros(self._size, dtype=np.uint32)
            count_dimensions(rows.dimensions, doc_freq)
        impact_rows = ImpactRows(rows.indptr, rows.dimensions, impacts, self._size)
        return PartRows(impact_rows, doc_freq, self.token_count)


@dataclass
class SegmentDraft:
    """One segment being written to ``directory``.

    Call :meth:`add` for batches, :meth:`spill` to free memory, :meth:`weigh` once the encoders are
    fitted, and :meth:`finish` once the scales are known.

    Attributes:
        spaces: Encoders per space.
        vectors: What gives passages their vectors, if the index is to re-rank.
        vector_seconds: Time spent on these.
    """

    directory: Path
    spaces: Spaces
    vectors: DocumentVectors | None = None
    parts: dict[str, PartDraft] = field(default_factory=dict)
    document_count: int = 0
    row_count: int = 0
    split: bool = False
    vector_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self._documents = DocumentWriter(self.directory)
        # Machine numbers, not Python's: these wait for the end of the build.
        self._passage_doc = array("I")
        self._passage_span = array("I")
        self._vectors: VectorCollector | None = None
        if self.vectors is not None:
            self._vectors = VectorCollector(self.directory, self.vectors.dimensions)
        for space, parts in self.spaces.items():
            for part in parts:
                self.parts[f"{space}.{part.name}"] = PartDraft(self.directory, space, part)

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
                self._passage_span.extend(
                    (span.start, span.end, span.heading_start, span.heading_end)
                )
        self.document_count += len(documents)
        self.row_count += len(passages)
        self._documents.add(documents, fields)
        for draft in self.parts.values():
            draft.add(passages)
        if self.vectors is not None and self._vectors is not None:
            started = time.perf_counter()
            self._vectors.append(self.vectors.document_vectors(passages))
            self.vector_seconds += time.perf_counter() - started

    def spill(self) -> None:
        """Ends adding: finishes the files of documents, rows and dictionaries."""
        self._documents.close()
        write_string_table(self.directory, "doc_ids", self._documents.doc_ids)
        self._documents.doc_ids.clear()
        for draft in self.parts.values():
            draft.finish()
        if self._vectors is not None:
            self._vectors.finish()

    def statistics(self, key: str) -> CorpusStatistics:
        """Sums over this segment's text in the tokens of the part ``SPACE.PART``."""
        return CorpusStatistics(self.row_count, self.parts[key].token_count)

    def weigh(self, spaces: Spaces) -> None:
        """Turns the token counts of statistical parts into weights, now that these are fitted."""
        for space, parts in spaces.items():
            for part in parts:
                if isinstance(part.encoder, StatisticalEncoder):
                    self.parts[f"{space}.{part.name}"].rows.reweigh(part.encoder.weigh)

    def finish(
        self,
        spaces: Spaces,
        scales: Mapping[str, float],
        ordinal: int,
        settings: BuildSettings,
    ) -> tuple[SegmentEntry, RowOrder | None]:
        """Quantises and inverts the rows, and writes everything but the manifest.

        Args:
            spaces: The spaces with fitted encoders.
            scales: Document weight of one impact step, per ``SPACE.PART``.
            ordinal: Ordinal of the first document.
            settings: Order of rows, and memory.

        Returns:
            The segment's entry, and the order of rows if it is not that of arrival.
        """
        ordinals = np.arange(ordinal, ordinal + self.document_count, dtype=np.uint64)
        passages = Passages(
            np.frombuffer(self._passage_doc, dtype=np.uint32),
            np.frombuffer(self._passage_span, dtype=np.uint32).reshape(-1, 4),
            self.split,
        )
        rows = (
            (space, {part.name: self._quantised(f"{space}.{part.name}", scales) for part in parts})
            for space, parts in spaces.items()
        )
        vectors = None if self._vectors is None else self._vectors.take()
        return seal_segment(self.directory, ordinals, passages, rows, settings, vectors=vectors)

    def _quantised(self, key: str, scales: Mapping[str, float]) -> PartRows:
        return self.parts[key].quantised(scales[key])
