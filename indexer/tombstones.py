"""Deleting: marks in immutable segments, and statistics without what was deleted.

A deletion never touches a file: it writes ``tombstones.gN.npy`` (uint8 per document, 1 deleted)
and new document frequencies for the segments concerned, named by generation ``N``. What to
subtract is found by analysing the stored text again, which needs no encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.base import SparseRows
from encoders.query.analyzer import create_analyzer
from encoders.query.tokenizer import WordPieceTokenizer
from indexer.format.arrays import write_array
from indexer.format.commit import SEGMENTS, describe_file, sync_directory, sync_file
from indexer.format.documents import BATCH_ROWS
from indexer.format.manifest import Manifest, PartEntry, SegmentEntry, SpaceEntry
from indexer.format.segment import Segment
from indexer.stored_passages import stored_passage


class LiveDocuments:
    """Which documents a generation holds: ``doc_id in LiveDocuments(index, manifest)``."""

    def __init__(self, index: Path, manifest: Manifest) -> None:
        self._segments = [Segment(index, entry, {}) for entry in manifest.segments]

    def __contains__(self, doc_id: object) -> bool:
        return isinstance(doc_id, str) and any(
            number >= 0 and segment.is_alive(number)
            for segment in self._segments
            if (number := segment.doc_ids.find(doc_id)) >= 0
        )


def without_documents(
    index: Path, manifest: Manifest, doc_ids: Sequence[str], generation: int
) -> Manifest:
    """The manifest with documents marked as deleted; their files are written and sealed.

    Args:
        index: Directory of the index.
        manifest: The current generation.
        doc_ids: Ids of live documents; others are left alone.
        generation: Number that names the new files.
    """
    segments = []
    for entry in manifest.segments:
        segment = Segment(index, entry, manifest.spaces)
        numbers = sorted(
            number
            for doc_id in set(doc_ids)
            if (number := segment.doc_ids.find(doc_id)) >= 0 and segment.is_alive(number)
        )
        if numbers:
            entry = _mark(index, manifest, segment, np.array(numbers), generation)
        segments.append(entry)
    return manifest.model_copy(update={"segments": tuple(segments)})


def _mark(
    index: Path,
    manifest: Manifest,
    segment: Segment,
    numbers: NDArray[np.int64],
    generation: int,
) -> SegmentEntry:
    entry = segment.entry
    tombstones = np.zeros(entry.document_count, dtype=np.uint8)
    if segment.tombstones is not None:
        tombstones[:] = segment.tombstones
    tombstones[numbers] = 1
    rows = numbers
    if segment.passage_doc is not None:
        rows = np.flatnonzero(np.isin(segment.passage_doc, numbers))

    arrays: dict[str, NDArray] = {f"tombstones.g{generation}.npy": tombstones}
    token_counts = dict(entry.token_counts)
    doc_freq_files = dict(entry.doc_freq_files)
    for space, part in _parts(manifest.spaces):
        key = f"{space}.{part.name}"
        doc_freq, tokens = _subtract(index, segment, space, part, rows)
        doc_freq_files[key] = f"{key}.doc_freq.g{generation}.npy"
        arrays[doc_freq_files[key]] = doc_freq
        token_counts[key] -= tokens

    directory = index / SEGMENTS / entry.name
    files = dict(entry.files)
    for name in filter(None, (entry.tombstones, *entry.doc_freq_files.values())):
        del files[name]
    for name, array in arrays.items():
        write_array(directory / name, array)
        sync_file(directory / name)
        files[name] = describe_file(directory / name)
    sync_directory(directory)
    return entry.model_copy(
        update={
            "tombstones": f"tombstones.g{generation}.npy",
            "doc_freq_files": doc_freq_files,
            "token_counts": token_counts,
            "live_documents": entry.live_documents - len(numbers),
            "live_rows": entry.live_rows - len(rows),
            "files": files,
        }
    )


def _parts(spaces: dict[str, SpaceEntry]) -> list[tuple[str, PartEntry]]:
    return [(space, part) for space, entry in spaces.items() for part in entry.parts]


def _subtract(
    index: Path, segment: Segment, space: str, part: PartEntry, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], int]:
    """Document frequencies without the texts of these rows, and the number of their tokens."""
    view = segment.spaces[space].parts[part.name]
    tokenizer_json = None
    if part.query.tokenizer_file:
        tokenizer_json = (index / part.query.tokenizer_file).read_bytes()
    analyzer = create_analyzer(part.query.analyzer, tokenizer_json)
    find: Callable[[str], int | None]
    if view.terms is not None:
        find = view.terms.find
    else:
        find = WordPieceTokenizer(tokenizer_json or b"").id
    removed = np.zeros(len(view.doc_freq), dtype=np.int64)
    tokens = 0
    for start in range(0, len(rows), BATCH_ROWS):
        batch = rows[start : start + BATCH_ROWS]
        texts = [stored_passage(segment, int(row)).full_text() for row in batch]
        counts: SparseRows = analyzer.count_batch(texts)
        known = [-1 if (n := find(term)) is None else n for term in counts.terms or ()]
        numbers = np.array(known, dtype=np.int64)[counts.dimensions]
        numbers = numbers[(numbers >= 0) & (numbers < len(removed))]
        removed += np.bincount(numbers, minlength=len(removed))
        tokens += int(counts.weights.sum(dtype=np.float64))
    doc_freq = np.array(view.doc_freq)
    return doc_freq - np.minimum(removed, doc_freq).astype(np.uint32), tokens
