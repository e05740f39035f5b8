"""Rows of a merged segment: the live passages of its sources, in order of arrival."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.errors import IndexCorruptError
from indexer.format.document_merge import text_lengths
from indexer.format.postings import ImpactRows, Postings
from indexer.format.segment import Segment, SegmentPart, terms_name
from indexer.format.string_table import write_string_table
from indexer.format.vectors import VectorCollector
from indexer.sealing import PartRows, Passages
from kernels.cpu.transposition import count_row_entries, decode_lists, scatter_lists

_VECTOR_ROWS = 1 << 14
"""Vectors that are copied at a time."""

BLOCK_POSTINGS = 1 << 22
"""About so many postings are decoded at a time."""


@dataclass(frozen=True)
class MergedPassages:
    """Where the passages of the sources go.

    Attributes:
        passages: The passages of the merged segment.
        kept: Per source bool[documents], whether a document is kept.
        new_rows: Per source int32[rows], position of arrival in the merged segment, -1 if dropped.
    """

    passages: Passages
    kept: list[NDArray[np.bool_]]
    new_rows: list[NDArray[np.int32]]

    @classmethod
    def of(cls, sources: Sequence[Segment]) -> MergedPassages:
        """Numbers the live passages of segments, which follow each other in order of arrival."""
        kept, new_rows, docs, spans = [], [], [], []
        documents = rows = 0
        for source in sources:
            alive = np.ones(source.entry.document_count, dtype=bool)
            if source.tombstones is not None:
                alive = source.tombstones == 0
            new_docs = np.cumsum(alive) - 1 + documents
            # Rows of this source as they arrived, those of deleted documents left out.
            arrived = np.arange(source.entry.row_count)
            if source.row_of_arrival is not None:
                arrived = source.row_of_arrival.astype(np.int64)
            owners = arrived if source.passage_doc is None else source.passage_doc[arrived]
            arrived, owners = arrived[alive[owners]], owners[alive[owners]]
            numbers = np.full(source.entry.row_count, -1, dtype=np.int32)
            numbers[arrived] = np.arange(rows, rows + len(arrived), dtype=np.int32)
            if source.passage_span is not None:
                span = source.passage_span[arrived]
            else:
                span = np.zeros((len(arrived), 4), dtype=np.uint32)
                span[:, 1] = text_lengths(source.documents)[owners]
            kept.append(alive)
            new_rows.append(numbers)
            docs.append(new_docs[owners].astype(np.uint32))
            spans.append(span)
            documents += int(np.count_nonzero(alive))
            rows += len(arrived)
        passages = Passages(np.concatenate(docs), np.concatenate(spans), split=rows > documents)
        return cls(passages, kept, new_rows)


def merge_vectors(
    sources: Sequence[Segment], merged: MergedPassages, directory: Path
) -> NDArray[np.int8] | None:
    """Static vectors of the merged segment in order of arrival; ``None`` if the sources have none.

    Args:
        sources: Segments in order of arrival.
        merged: Where their passages go.
        directory: The merged segment, where they are in a file until they are written.

    Raises:
        IndexCorruptError: Some of the sources have vectors and others do not.
    """
    found = [source.vectors for source in sources if source.vectors is not None]
    if not found:
        return None
    if len(found) < len(sources) or len({vectors.shape[1] for vectors in found}) > 1:
        raise IndexCorruptError(directory.parent, "the segments' static vectors differ in kind")
    collector = VectorCollector(directory, found[0].shape[1])
    for vectors, new_rows in zip(found, merged.new_rows, strict=True):
        kept = np.flatnonzero(new_rows >= 0)
        arrived = kept[np.argsort(new_rows[kept], kind="stable")]
        for first in range(0, len(arrived), _VECTOR_ROWS):
            collector.append(vectors[arrived[first : first + _VECTOR_ROWS]])
    collector.finish()
    return collector.take()


def merge_part(
    sources: Sequence[Segment],
    merged: MergedPassages,
    directory: Path,
    space: str,
    name: str,
) -> PartRows:
    """Rows of one part, copied from the postings of the sources.

    The term dictionary of an open vocabulary becomes the sorted union of the terms in use, and is
    written.

    Args:
        sources: Segments in order of arrival.
        merged: Where their passages go.
        directory: The merged segment.
        space: Name of the space.
        name: Name of the part.

    Raises:
        IndexCorruptError: Postings of a source lie outside its rows.
    """
    parts = [source.spaces[space].parts[name] for source in sources]
    postings = [source.spaces[space].postings for source in sources]
    inputs = list(zip(postings, parts, merged.new_rows, strict=True))
    lengths = np.zeros(len(merged.passages.doc), dtype=np.int64)
    used = []
    for lists, part, new_rows in inputs:
        counts = np.zeros(part.size, dtype=np.int64)
        for first, starts, rows, _ in _decoded(lists, part, new_rows):
            counts[first : first + len(starts) - 1] = np.diff(starts)
            count_row_entries(rows, lengths)
        used.append((counts > 0) | (part.doc_freq > 0))

    terms, new_dimensions = _union(parts, used)
    if terms is not None:
        write_string_table(directory, terms_name(space, name), terms)
    size = parts[0].size if terms is None else len(terms)
    doc_freq = np.zeros(size, dtype=np.uint32)
    for part, numbers, in_use in zip(parts, new_dimensions, used, strict=True):
        doc_freq[numbers[in_use]] += part.doc_freq[in_use]

    indptr = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    cursor = indptr[:-1].copy()
    impact_rows = ImpactRows(
        indptr, np.empty(indptr[-1], dtype=np.uint32), np.empty(indptr[-1], dtype=np.uint8), size
    )
    for (lists, part, new_rows), numbers in zip(inputs, new_dimensions, strict=True):
        for first, starts, rows, impacts in _decoded(lists, part, new_rows):
            block = numbers[first : first + len(starts) - 1]
            scatter_lists(
                starts, rows, impacts, block, cursor, impact_rows.dimensions, impact_rows.impacts
            )
    tokens = sum(source.entry.token_counts[f"{space}.{name}"] for source in sources)
    return PartRows(impact_rows, doc_freq, tokens)


_Block = tuple[int, NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]


def _decoded(
    postings: Postings, part: SegmentPart, new_rows: NDArray[np.int32]
) -> Iterator[_Block]:
    """Blocks of a part's dimensions: the first one, offsets, new rows and impacts."""
    width = postings.columns.shape[1]
    begin, end = part.offset, part.offset + part.size
    form = postings.directory[begin:end]
    room = np.where(form <= -2, width, np.diff(postings.posting_start[begin : end + 1]))
    total = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(room)])
    first = 0
    while first < part.size:
        last = int(np.searchsorted(total, total[first] + BLOCK_POSTINGS, side="right")) - 1
        last = min(max(last, first + 1), part.size)
        starts = np.empty(last - first + 1, dtype=np.int64)
        rows = np.empty(total[last] - total[first], dtype=np.int32)
        impacts = np.empty(len(rows), dtype=np.uint8)
        inside = decode_lists(
            postings.posting_start,
            postings.local_ids,
            postings.impacts,
            postings.rare_windows,
            postings.rare_start,
            postings.directory,
            postings.window_start,
            postings.columns,
            postings.window_bits,
            new_rows,
            begin + first,
            starts,
            rows,
            impacts,
        )
        if not inside:
            raise IndexCorruptError(postings.path, "a posting lies outside the segment's rows")
        yield first, starts, rows[: starts[-1]], impacts[: starts[-1]]
        first = last


def _union(
    parts: Sequence[SegmentPart], used: Sequence[NDArray[np.bool_]]
) -> tuple[list[str] | None, list[NDArray[np.uint32]]]:
    """Sorted terms in use, ``None`` for a fixed vocabulary, and each source's new numbers."""
    if parts[0].terms is None:
        same = np.arange(parts[0].size, dtype=np.uint32)
        return None, [same] * len(parts)
    found = [
        [part.terms[number] for number in np.flatnonzero(in_use).tolist()]
        for part, in_use in zip(parts, used, strict=True)
        if part.terms is not None
    ]
    terms = sorted(set().union(*found))
    number_of = {term: number for number, term in enumerate(terms)}
    new_dimensions = []
    for part, in_use, own in zip(parts, used, found, strict=True):
        numbers = np.zeros(part.size, dtype=np.uint32)
        numbers[in_use] = np.fromiter(map(number_of.__getitem__, own), np.uint32, len(own))
        new_dimensions.append(numbers)
    return terms, new_dimensions
