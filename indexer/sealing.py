"""The last step of writing a segment: rows become postings, and the files are sealed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.format.arrays import compress_array, write_array
from indexer.format.commit import seal_directory
from indexer.format.manifest import SegmentEntry
from indexer.format.postings import ImpactRows, build_postings, window_bits_for, write_postings
from indexer.format.vectors import write_vectors
from indexer.reorder import RowOrder, bisected_order, inverse, reordered
from indexer.settings import BuildSettings


@dataclass(frozen=True)
class PartRows:
    """One part of a segment, its term dictionary written already.

    Attributes:
        impacts: Rows in order of arrival.
        doc_freq: uint32[V], over the text.
        token_count: Tokens of the text.
    """

    impacts: ImpactRows
    doc_freq: NDArray[np.uint32]
    token_count: int


@dataclass(frozen=True)
class Passages:
    """Where passages stand, in order of arrival.

    Attributes:
        doc: uint32[rows], number of the document.
        span: uint32[rows, 4], start and end of the passage and of its heading.
        split: Whether any document has several.
    """

    doc: NDArray[np.uint32]
    span: NDArray[np.uint32]
    split: bool


def seal_segment(
    directory: Path,
    ordinals: NDArray[np.uint64],
    passages: Passages,
    spaces: Iterable[tuple[str, Mapping[str, PartRows]]],
    settings: BuildSettings,
    *,
    vectors: NDArray[np.int8] | None = None,
    compress: bool = False,
) -> tuple[SegmentEntry, RowOrder | None]:
    """Writes what is missing in a segment whose documents, ids and dictionaries are written.

    Args:
        directory: The segment.
        ordinals: uint64[documents].
        passages: All passages.
        spaces: Spaces by name with their parts; those of the first decide the order of rows. Asked
            for one after the other, so that the rows of one space only need to be in memory.
        settings: Order of rows, and memory.
        vectors: int8[rows, d], static vectors in order of arrival, if the index has any.
        compress: Compress the postings: smaller files, which opening decodes into memory.

    Returns:
        The segment's entry, and the order of rows if it is not that of arrival.
    """
    order = None
    window_bits = window_bits_for(len(passages.doc))
    doc_freq_files: dict[str, str] = {}
    token_counts: dict[str, int] = {}
    for space, parts in spaces:
        for name, part in parts.items():
            key = f"{space}.{name}"
            doc_freq_files[key] = f"{key}.doc_freq.npy"
            token_counts[key] = part.token_count
            write_array(directory / doc_freq_files[key], part.doc_freq)
        rows = [part.impacts for part in parts.values()]
        del parts, part  # The copies below take their place in memory.
        if settings.order == "bisected":
            if order is None:
                order = bisected_order(rows, settings.memory_bytes)
            for number in range(len(rows)):
                rows[number] = reordered(rows[number], order.row_arrival)
        write_postings(directory, space, build_postings(rows, window_bits))
        del rows
        if compress:
            for path in sorted(directory.glob(f"{space}.postings.*.npy")):
                compress_array(path)
    write_array(directory / "ordinals.npy", ordinals)
    _write_passages(directory, passages, order)
    if vectors is not None:
        write_vectors(directory, vectors, None if order is None else order.row_arrival)
    entry = SegmentEntry(
        name=directory.name,
        document_count=len(ordinals),
        row_count=len(passages.doc),
        live_documents=len(ordinals),
        live_rows=len(passages.doc),
        split=passages.split,
        reordered=order is not None,
        compressed=compress,
        window_bits=window_bits,
        token_counts=token_counts,
        doc_freq_files=doc_freq_files,
        files=seal_directory(directory),
    )
    return entry, order


def _write_passages(directory: Path, passages: Passages, order: RowOrder | None) -> None:
    doc, span = passages.doc, passages.span
    if order is not None:
        write_array(directory / "row_arrival.npy", order.row_arrival)
        write_array(directory / "row_of_arrival.npy", inverse(order.row_arrival))
    if passages.split:
        by_row = slice(None) if order is None else order.row_arrival
        write_array(directory / "passage_doc.npy", doc[by_row])
        write_array(directory / "passage_span.npy", span[by_row])
