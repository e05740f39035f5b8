"""A segment on disk: what a reader needs of it.

Files of ``segments/NAME/``: ``documents.arrow``, ``columns.arrow``, ``doc_ids.*`` (string table),
``ordinals.npy`` uint64 per document, ``passage_doc.npy`` and ``passage_span.npy`` when documents
were split, ``vectors.npy`` where the index has static vectors (``indexer.format.vectors``), and per
space ``SPACE.postings.*``, per part ``SPACE.PART.terms.*`` (open vocabularies, sorted) and
``SPACE.PART.doc_freq*.npy`` (uint32, over the text of live passages).

Documents always stand in order of arrival. Rows, the passages, may stand in another order
(``indexer.reorder``): then ``row_arrival.npy`` uint32 holds the position of arrival of each row,
``row_of_arrival.npy`` is its inverse, and all that is per passage is by row.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.errors import IndexCorruptError
from indexer.format.arrays import read_array
from indexer.format.documents import DocumentStore
from indexer.format.manifest import FileEntry, PartEntry, SegmentEntry, SpaceEntry
from indexer.format.postings import Postings, read_postings
from indexer.format.string_table import StringTable
from indexer.format.vectors import VECTORS_NAME
from kernels.cpu.lookup import score_rows
from kernels.cpu.search import search_postings
from kernels.cpu.vectors import warm_up

TERMS_SUFFIX = "terms"


def terms_name(space: str, part: str) -> str:
    """File prefix of a part's term dictionary."""
    return f"{space}.{part}.{TERMS_SUFFIX}"


class SegmentPart:
    """One part of a space within a segment: its dimensions and their document frequencies."""

    def __init__(self, segment: Segment, space: str, part: PartEntry, offset: int) -> None:
        self.offset = offset
        key = f"{space}.{part.name}"
        self.terms: StringTable | None = None
        if part.encoder.vocabulary == "open":
            self.terms = StringTable(
                segment.directory, terms_name(space, part.name), memory_map=segment.memory_map
            )
            self.size = len(self.terms)
        else:
            self.size = part.encoder.vocabulary
        name = segment.entry.doc_freq_files[key]
        self.doc_freq: NDArray[np.uint32] = read_array(
            segment.directory / name, np.uint32, memory_map=segment.memory_map
        )
        if len(self.doc_freq) != self.size:
            raise IndexCorruptError(segment.directory / name, f"not {self.size} values")


class SegmentSpace:
    """Postings of one space and the parts they consist of."""

    def __init__(self, segment: Segment, name: str, space: SpaceEntry) -> None:
        self.postings: Postings = read_postings(
            segment.directory,
            name,
            segment.entry.row_count,
            segment.entry.window_bits,
            memory_map=segment.memory_map,
        )
        self.parts: dict[str, SegmentPart] = {}
        offset = 0
        for part in space.parts:
            self.parts[part.name] = SegmentPart(segment, name, part, offset)
            offset += self.parts[part.name].size
        if offset != len(self.postings.directory):
            raise IndexCorruptError(
                segment.directory, f"space {name!r}: dictionaries and postings differ in size"
            )


class Segment:
    """Reader of one segment; all arrays are memory-mapped and read-only.

    Raises:
        IndexCorruptError: A file is missing, has another size, or does not fit the others.
    """

    def __init__(
        self,
        index: Path,
        entry: SegmentEntry,
        spaces: dict[str, SpaceEntry],
        *,
        memory_map: bool = True,
    ) -> None:
        self.directory = index / "segments" / entry.name
        self.entry = entry
        self.memory_map = memory_map
        check_sizes(self.directory, entry.files)
        self.doc_ids = StringTable(self.directory, "doc_ids", memory_map=memory_map)
        self.ordinals: NDArray[np.uint64] = self._array("ordinals.npy", np.uint64)
        if len(self.doc_ids) != entry.document_count or len(self.ordinals) != entry.document_count:
            raise IndexCorruptError(self.directory, f"does not hold {entry.document_count} ids")
        self._open_passages(entry)
        self.tombstones: NDArray[np.uint8] | None = None
        if entry.tombstones:
            self.tombstones = self._array(entry.tombstones, np.uint8)
            if len(self.tombstones) != entry.document_count:
                raise IndexCorruptError(self.directory / entry.tombstones, "of a wrong length")
        self.vectors: NDArray[np.int8] | None = None
        if VECTORS_NAME in entry.files:
            self.vectors = self._array(VECTORS_NAME, np.int8, ndim=2)
            if len(self.vectors) != entry.row_count:
                raise IndexCorruptError(self.directory / VECTORS_NAME, "not one vector per passage")
        # Stored titles, texts and metadata.
        self.documents = DocumentStore(self.directory, entry.document_count, memory_map=memory_map)
        self.spaces = {name: SegmentSpace(self, name, space) for name, space in spaces.items()}

    def _array(self, name: str, dtype: type, ndim: int = 1) -> NDArray:
        return read_array(self.directory / name, dtype, ndim, memory_map=self.memory_map)

    def _open_passages(self, entry: SegmentEntry) -> None:
        self.passage_doc: NDArray[np.uint32] | None = None
        self.passage_span: NDArray[np.uint32] | None = None
        if entry.split:
            self.passage_doc = self._array("passage_doc.npy", np.uint32)
            self.passage_span = self._array("passage_span.npy", np.uint32, ndim=2)
            if (
                len(self.passage_doc) != entry.row_count
                or self.passage_span.shape != (entry.row_count, 4)
                or self.passage_doc.max(initial=0) >= max(1, entry.document_count)
            ):
                raise IndexCorruptError(self.directory, "passages and documents differ in number")
        elif entry.row_count != entry.document_count:
            raise IndexCorruptError(self.directory, "passages and documents differ in number")
        self.row_arrival: NDArray[np.uint32] | None = None
        self.row_of_arrival: NDArray[np.uint32] | None = None
        if entry.reordered:
            self.row_arrival = self._array("row_arrival.npy", np.uint32)
            self.row_of_arrival = self._array("row_of_arrival.npy", np.uint32)
            _check_permutation(
                self.directory / "row_arrival.npy",
                self.row_arrival,
                self.row_of_arrival,
                entry.row_count,
            )
            if self.passage_doc is None:
                self.passage_doc = self.row_arrival

    def warm_up(self) -> None:
        """Compiles the kernels of a search, or loads them; it takes a document to do so."""
        for space in self.spaces.values():
            used = np.flatnonzero(space.postings.max_impact)[:1]
            _, rows = search_postings(space.postings, used, np.ones(len(used), dtype=np.int64), 1)
            score_rows(space.postings.layout, used, np.ones(len(used)), rows)
        self.doc_ids.take(np.arange(min(1, len(self.doc_ids))))
        if self.vectors is not None:
            warm_up(self.vectors)

    @cached_property
    def alive_documents(self) -> NDArray[np.uint8]:
        """uint8[documents], 0 for deleted; empty when nothing is deleted."""
        if self.tombstones is None:
            return np.zeros(0, dtype=np.uint8)
        return (self.tombstones == 0).astype(np.uint8)

    @cached_property
    def alive_rows(self) -> NDArray[np.uint8]:
        """uint8[rows], 0 for passages of deleted documents; empty when nothing is deleted."""
        return self.expand(self.alive_documents)

    def expand(self, per_document: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A value per document, repeated for its passages; an empty array stays empty."""
        if len(per_document) == 0 or self.passage_doc is None:
            return per_document
        return per_document[self.passage_doc]

    def document_of(self, row: int) -> int:
        """Document number of a passage."""
        return row if self.passage_doc is None else int(self.passage_doc[row])

    def is_alive(self, doc_num: int) -> bool:
        """Whether the document has not been deleted."""
        return self.tombstones is None or not self.tombstones[doc_num]


def _check_permutation(
    path: Path, forward: NDArray[np.uint32], inverse: NDArray[np.uint32], count: int
) -> None:
    """Checks that two arrays are permutations of 0 to ``count - 1`` and undo each other.

    Raises:
        IndexCorruptError: They don't.
    """
    # If every number leads back to itself no two numbers lead to one place: both are permutations.
    if (
        len(forward) != count
        or len(inverse) != count
        or int(forward.max(initial=0)) >= max(1, count)
        or not np.array_equal(inverse[forward], np.arange(count, dtype=np.uint32))
    ):
        raise IndexCorruptError(path, "the order of passages and its inverse do not fit together")


def check_sizes(directory: Path, files: dict[str, FileEntry]) -> None:
    """Cheap check at opening: every file is there and as long as the manifest says."""
    for name, entry in files.items():
        path = directory / name
        try:
            size = path.stat().st_size
        except OSError:
            raise IndexCorruptError(path, "the file is missing") from None
        if size != entry.size:
            raise IndexCorruptError(path, f"{size} bytes, expected {entry.size}")
