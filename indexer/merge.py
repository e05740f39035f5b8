"""Merges segments into one: live passages are copied, deleted ones left out.

Ordinals, impacts and the sums of the statistics stay, so that searches give what they gave. A
merge may put passages into another order, and may fit BM25 to the collection as it is now: then
that part is computed again from the stored text.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.draft import PartDraft
from indexer.errors import IndexCorruptError, IndexerError
from indexer.format.commit import (
    SEGMENTS,
    commit_manifest,
    describe_file,
    remove_unnamed_files,
    write_lock,
)
from indexer.format.document_merge import merge_documents
from indexer.format.manifest import Manifest, PartEntry, SegmentEntry, SpaceEntry, read_manifest
from indexer.format.segment import Segment, check_sizes
from indexer.format.string_table import write_string_table
from indexer.merge_memory import check_memory, physical_memory
from indexer.merged_rows import MergedPassages, merge_part, merge_vectors
from indexer.recount import recount, refitted_entry
from indexer.reorder import RowOrder
from indexer.report import MergeReport
from indexer.sealing import PartRows, seal_segment
from indexer.settings import MOST_ROWS, BuildSettings, Order, recorded_settings


def merge_segments(
    index: Path,
    *,
    order: Order | None = None,
    segments: int = 1,
    refresh_statistics: bool = False,
    compress: bool | None = None,
    memory_bytes: int | None = None,
) -> MergeReport:
    """Merges the smallest neighbouring segments, until so many are left, and commits the result.

    Nothing is encoded again, but for the parts whose statistics are refreshed. Readers keep the
    generation that they opened.

    Args:
        index: Directory of the index.
        order: Order of passages in the merged segment; by default the one that the index has.
            It becomes the index's own, which additions follow.
        segments: How many segments to leave, at least 1.
        refresh_statistics: Fit BM25's average length to the live passages, and compute its
            weights again; needs ``segments=1``. Scales stay.
        compress: Compress the merged segment's postings, which are then decoded into memory when
            the index is opened; by default if those of all its sources are.
        memory_bytes: Refuse a merge that needs more memory than this; by default what the machine
            has, or the index's own setting if that is more.

    Raises:
        indexer.errors.IndexNotFoundError: There is no index.
        indexer.errors.IndexCorruptError: A file of a segment is damaged.
        indexer.errors.IndexLockedError: Another process is writing to the index.
        indexer.errors.MergeMemoryError: The merge would need too much memory.
        IndexerError: The merged segment would be too large, or there is nothing to refresh.
    """
    if segments < 1 or (refresh_statistics and segments > 1):
        raise IndexerError(
            f"segments must be at least 1, and 1 to refresh statistics, got {segments}."
        )
    started = time.perf_counter()
    read_manifest(index)
    with write_lock(index):
        current = read_manifest(index)
        remove_unnamed_files(index, current)
        recorded = recorded_settings(index, current)
        settings = recorded.model_copy(update={"order": order or recorded.order})
        chosen = _choose(current.segments, segments)
        sources = current.segments[chosen]
        if compress is None:
            compress = all(entry.compressed for entry in sources)
        wanted = (settings.order == "bisected", compress)
        if len(sources) == 1 and not refresh_statistics:
            (entry,) = sources
            whole = entry.live_documents == entry.document_count
            if whole and wanted == (entry.reordered, entry.compressed):
                sources = ()
        if not sources:
            changed = current
            if settings != recorded:
                changed = _with_settings(current, settings)
                commit_manifest(index, changed)
            return _report(index, current, changed, sources, None, started)
        limit = memory_bytes or max(settings.memory_bytes, physical_memory())
        merge = _Merge(index, current, chosen, settings, compress, limit)
        changed, row_order = merge.write(refresh_statistics)
        commit_manifest(index, changed)
        remove_unnamed_files(index, changed)
        return _report(index, current, changed, sources, row_order, started)


def _choose(entries: Sequence[SegmentEntry], wanted: int) -> slice:
    """The neighbouring segments whose merging leaves ``wanted``: those of fewest passages.

    Neighbours, so that ordinals keep rising from segment to segment.
    """
    count = len(entries) - wanted + 1
    if count < 1 or (count == 1 and wanted > 1):
        return slice(0, 0)
    rows = np.cumsum([0, *(entry.live_rows for entry in entries)])
    first = int(np.argmin(rows[count:] - rows[:-count]))
    return slice(first, first + count)


@dataclass
class _Merge:
    """One merge of the segments ``chosen`` of ``current``."""

    index: Path
    current: Manifest
    chosen: slice
    settings: BuildSettings
    compress: bool
    memory_bytes: int

    def write(self, refresh_statistics: bool) -> tuple[Manifest, RowOrder | None]:
        """Writes the merged segment; returns the manifest that names it, and its order of rows."""
        sources = self._open_sources()
        check_memory(sources, list(self.current.spaces), self.memory_bytes)
        generation = self.current.generation + 1
        directory = self.index / SEGMENTS / f"g{generation:06d}-0000"
        directory.mkdir(parents=True)
        merged = MergedPassages.of(sources)
        kept = merged.kept
        stores = [source.documents for source in sources]
        merge_documents(directory, list(zip(stores, kept, strict=True)))
        doc_ids = [
            source.doc_ids[number]
            for source, alive in zip(sources, kept, strict=True)
            for number in np.flatnonzero(alive).tolist()
        ]
        write_string_table(directory, "doc_ids", doc_ids)
        del doc_ids
        ordinals = [source.ordinals[alive] for source, alive in zip(sources, kept, strict=True)]
        refitted: Mapping[str, PartDraft] = {}
        if refresh_statistics:
            refitted = recount(sources, self.current.spaces, directory)
        entry, row_order = seal_segment(
            directory,
            np.concatenate(ordinals),
            merged.passages,
            self._rows(sources, merged, directory, refitted),
            self.settings,
            vectors=merge_vectors(sources, merged, directory),
            compress=self.compress,
        )
        return self._manifest(entry, refitted), row_order

    def _open_sources(self) -> list[Segment]:
        entries = self.current.segments[self.chosen]
        rows = sum(entry.live_rows for entry in entries)
        if rows > MOST_ROWS:
            raise IndexerError(
                f"the merged segment would hold {rows:,} passages, of which it can hold "
                f"{MOST_ROWS:,}. Leave more segments with --segments."
            )
        for entry in entries:
            check_sizes(self.index / SEGMENTS / entry.name, entry.files)
            # What is damaged must not be sealed again under a checksum that fits.
            for name, expected in entry.files.items():
                path = self.index / SEGMENTS / entry.name / name
                if describe_file(path) != expected:
                    raise IndexCorruptError(path, "its content does not match its checksum")
        return [Segment(self.index, entry, self.current.spaces) for entry in entries]

    def _rows(
        self,
        sources: Sequence[Segment],
        merged: MergedPassages,
        directory: Path,
        refitted: Mapping[str, PartDraft],
    ) -> Iterator[tuple[str, dict[str, PartRows]]]:
        """Parts of one space after the other; none is held here once it was given."""

        def rows(space: str, part: PartEntry) -> PartRows:
            draft = refitted.get(f"{space}.{part.name}")
            if draft is not None:
                return draft.quantised(part.scale)
            return merge_part(sources, merged, directory, space, part.name)

        for space, entry in self.current.spaces.items():
            yield space, {part.name: rows(space, part) for part in entry.parts}

    def _manifest(self, entry: SegmentEntry, refitted: Mapping[str, PartDraft]) -> Manifest:
        entries = list(self.current.segments)
        entries[self.chosen] = [entry] if entry.document_count else []
        spaces = {
            space: SpaceEntry(
                parts=tuple(
                    refitted_entry(part, draft)
                    if (draft := refitted.get(f"{space}.{part.name}"))
                    else part
                    for part in space_entry.parts
                )
            )
            for space, space_entry in self.current.spaces.items()
        }
        changed = _with_settings(self.current, self.settings)
        return changed.model_copy(update={"spaces": spaces, "segments": tuple(entries)})


def _with_settings(current: Manifest, settings: BuildSettings) -> Manifest:
    """The next generation, which differs in its settings."""
    return current.model_copy(
        update={
            "generation": current.generation + 1,
            "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "settings": settings.model_dump(mode="json"),
        }
    )


def _report(
    index: Path,
    before: Manifest,
    after: Manifest,
    merged: Sequence[SegmentEntry],
    order: RowOrder | None,
    started: float,
) -> MergeReport:
    return MergeReport(
        index=index,
        generation=after.generation,
        merged_segments=len(merged),
        segments=len(after.segments),
        documents=after.document_count,
        passages=after.row_count,
        dropped_documents=sum(entry.document_count - entry.live_documents for entry in merged),
        dropped_passages=sum(entry.row_count - entry.live_rows for entry in merged),
        size_before=sum(entry.size for entry in before.all_files().values()),
        size_after=sum(entry.size for entry in after.all_files().values()),
        seconds=time.perf_counter() - started,
        order_seconds=order.seconds if order else None,
        log2_gap_before=order.log2_gap_before if order else None,
        log2_gap_after=order.log2_gap_after if order else None,
    )
