"""One generation of an index, open: what a search runs against from start to end."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from encoders.errors import EncoderError
from indexer.errors import IndexCorruptError
from indexer.format.arrays import read_array
from indexer.format.commit import QUERY, SEGMENTS
from indexer.format.manifest import Manifest, PartEntry, RerankEntry, read_manifest
from indexer.format.segment import Segment, check_sizes
from retriever.errors import UnknownSpaceError
from retriever.reranking import Reranker
from retriever.space import SpaceView

ATTEMPTS = 5


class Snapshot:
    """Segments and spaces of one manifest. Immutable, shared by threads.

    Attributes:
        row_count: Rows of all segments, deleted ones included.
        reranker: Its static vectors, ``None`` if it has none.

    Raises:
        IndexCorruptError: A file is missing or damaged.
    """

    def __init__(self, index: Path, manifest: Manifest, *, memory_map: bool = True) -> None:
        self.index = index
        self.manifest = manifest
        check_sizes(index, manifest.files)
        self.segments = [
            Segment(index, entry, manifest.spaces, memory_map=memory_map)
            for entry in manifest.segments
        ]
        self.spaces = {name: self._open_space(name) for name in manifest.spaces}
        self.reranker = self._open_reranker(manifest.rerank)
        self.alive = [segment.alive_rows for segment in self.segments]
        self.row_count = sum(segment.entry.row_count for segment in self.segments)

    def _open_space(self, name: str) -> SpaceView:
        entry = self.manifest.spaces[name]
        for part in entry.parts:
            _check_query_table(self.index, part)
        try:
            return SpaceView(self.index, name, entry, self.segments, self.manifest.row_count)
        except (EncoderError, OSError, ValueError, IndexError) as error:
            reason = f"queries of space {name!r} cannot be read: {error}"
            raise IndexCorruptError(self.index / QUERY, reason) from error

    def _open_reranker(self, entry: RerankEntry | None) -> Reranker | None:
        if entry is None:
            return None
        try:
            return Reranker(self.index, entry, self.segments)
        except (EncoderError, OSError) as error:
            raise IndexCorruptError(self.index / entry.tokenizer_file, str(error)) from error

    def space(self, name: str | None) -> SpaceView:
        """A space by name, the default one for ``None``.

        Raises:
            UnknownSpaceError: There is none of this name.
        """
        found = self.spaces.get(name or self.manifest.default_space)
        if found is None:
            raise UnknownSpaceError(
                f"the index has no space {name!r}; it has {', '.join(map(repr, self.spaces))}."
            )
        return found

    def locate(self, doc_id: str) -> tuple[int, int] | None:
        """Segment and document number of a live document."""
        for number, segment in enumerate(self.segments):
            doc_num = segment.doc_ids.find(doc_id)
            if doc_num >= 0 and segment.is_alive(doc_num):
                return number, doc_num
        return None

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.manifest.all_files().values())

    @cached_property
    def is_split(self) -> bool:
        """Whether any document has more than one passage."""
        return any(segment.entry.split for segment in self.segments)

    def passage(self, segment: int, row: int) -> tuple[int, int]:
        """(start, end) of a passage in its document's text."""
        reader = self.segments[segment]
        spans = reader.passage_span
        if spans is None:
            return 0, len(reader.documents.text(reader.document_of(row)))
        start, end = np.asarray(spans[row][:2]).tolist()
        return start, end


def open_snapshot(index: Path, *, memory_map: bool = True) -> Snapshot:
    """Opens the current generation.

    A writer may replace it between reading the manifest and opening the files, or another index
    may be moved to its place: then the manifest is another one, and opening starts again.
    """
    for _ in range(ATTEMPTS):
        manifest = read_manifest(index)
        try:
            snapshot = Snapshot(index, manifest, memory_map=memory_map)
        except IndexCorruptError:
            if read_manifest(index) == manifest:
                raise
        else:
            if read_manifest(index) == manifest:
                return snapshot
    raise IndexCorruptError(index / SEGMENTS, f"it changed {ATTEMPTS} times while being opened")


def _check_query_table(index: Path, part: PartEntry) -> None:
    """Checks the published query weights of a part, if it uses any.

    Raises:
        IndexCorruptError: They are not one finite weight >= 0 per token.
    """
    name = part.query.table_file
    if part.query.table != "published" or name is None:
        return
    table = read_array(index / name, np.float32)
    if len(table) != part.encoder.vocabulary:
        reason = f"{len(table)} weights, expected {part.encoder.vocabulary}"
        raise IndexCorruptError(index / name, reason)
    if not bool(np.all((table >= 0) & (table < np.inf))):
        raise IndexCorruptError(index / name, "a weight is negative or not finite")
