"""A copy of a space in which BM25 is weighed with other k1 and b, from the text in the index.

The text is counted once. Each setting then costs a pass over the counts and the inversion of the
space; what other parts have encoded is copied, not encoded again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from encoders.base import CorpusStatistics, SparseRows, StatisticalEncoder
from encoders.registry import create_encoder
from eval.errors import TuningError
from indexer.format.commit import SEGMENTS, commit_manifest, describe_file
from indexer.format.document_merge import merge_documents
from indexer.format.manifest import EncoderEntry, Manifest, PartEntry, SegmentEntry, SpaceEntry
from indexer.format.postings import ImpactRows, build_postings, write_postings
from indexer.format.segment import Segment
from indexer.format.string_table import write_string_table
from indexer.merged_rows import MergedPassages, merge_part, merge_vectors
from indexer.rows import CHUNK_ROWS, RowCollector
from indexer.sealing import PartRows, seal_segment
from indexer.settings import BATCH_DOCUMENTS, BuildSettings
from indexer.stored_passages import stored_passage
from kernels.cpu.quantisation import quantise
from retriever.snapshot import Snapshot


class K1B(NamedTuple):
    """How slowly repetitions of a term saturate, and how much length is normalised."""

    k1: float
    b: float


def present_k1_b(entry: SpaceEntry) -> dict[str, K1B]:
    """The settings of a space's BM25 parts, by part."""
    return {
        part.name: K1B(
            float(part.encoder.parameters["k1"] or 0), float(part.encoder.parameters["b"] or 0)
        )
        for part in entry.parts
        if part.encoder.kind == "bm25"
    }


class ReweighedSpace:
    """An index of a space's live documents, to be searched after each :meth:`weigh`.

    Average lengths and scales are chosen as a build of these documents would, so that rankings are
    those of an index that is built with the settings.

    Attributes:
        path: Directory of the index.
    """

    def __init__(self, snapshot: Snapshot, space: str, folder: Path) -> None:
        """Copies the space and counts its text.

        Args:
            snapshot: The index, which is only read.
            space: Name of the space.
            folder: An empty one, for the copy.

        Raises:
            TuningError: The text does not have the terms that the index has.
            IndexCorruptError: A file of the index is damaged.
        """
        self.path = folder / "reweighed.winnow"
        self._folder = folder
        self._space = space
        self._entry = snapshot.manifest.spaces[space]
        self._directory = self.path / SEGMENTS / "g000001-0000"
        self._directory.mkdir(parents=True)
        sealed, parts = _copy_segments(snapshot, space, self._directory)
        self._rows = {name: rows.impacts for name, rows in parts.items()}
        files = {
            name: entry
            for name, entry in snapshot.manifest.files.items()
            if name in _query_files(snapshot.manifest, self._entry)
        }
        for name in files:
            (self.path / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(snapshot.index / name, self.path / name)
        self._manifest = snapshot.manifest.model_copy(
            update={
                "default_space": space,
                "spaces": {space: self._entry},
                "segments": (sealed,),
                "files": files,
            }
        )
        segment = Segment(self.path, sealed, self._manifest.spaces)
        self._weighed = dict.fromkeys(present_k1_b(self._entry), K1B(-1, -1))
        self._counts = {name: self._counted(segment, name) for name in self._weighed}
        self._average_length = {
            name: CorpusStatistics(sealed.row_count, parts[name].token_count).average_length
            for name in self._weighed
        }

    def weigh(self, settings: Mapping[str, K1B]) -> None:
        """Makes the index that of other settings; one that is open must be opened again.

        Args:
            settings: Of every BM25 part.
        """
        if settings == self._weighed:
            return
        for name, chosen in settings.items():
            if chosen != self._weighed[name]:
                self._weigh_part(name, chosen)
                self._weighed[name] = chosen
        new = self._folder / "postings"
        new.mkdir()
        rows = [self._rows[part.name] for part in self._entry.parts]
        write_postings(new, self._space, build_postings(rows))
        (segment,) = self._manifest.segments
        files = dict(segment.files)
        for path in sorted(new.iterdir()):
            files[path.name] = describe_file(path)
            path.replace(self._directory / path.name)  # the old one may still be mapped
        new.rmdir()
        self._manifest = self._manifest.model_copy(
            update={
                "segments": (segment.model_copy(update={"files": files}),),
                "spaces": {self._space: self._entry},
            }
        )
        commit_manifest(self.path, self._manifest)

    def _counted(self, segment: Segment, name: str) -> SparseRows:
        """How often each term stands in each passage."""
        part = self._part(name)
        recorded = part.encoder
        encoder = create_encoder(recorded.name, recorded.argument, **recorded.parameters)
        collector = RowCollector(self._folder / f"counts.{name}", open_vocabulary=True)
        passages = (stored_passage(segment, row) for row in range(segment.entry.row_count))
        while batch := list(islice(passages, BATCH_DOCUMENTS)):
            collector.append(encoder.count_tokens(batch))
        terms = collector.finish()
        if terms != list(segment.spaces[self._space].parts[name].terms or ()):
            raise TuningError(
                f"the text of part {name!r} has other terms than its index, which another version "
                "of Winnow has built; build the index again."
            )
        return collector.take()

    def _weigh_part(self, name: str, chosen: K1B) -> None:
        part = self._part(name)
        recorded = part.encoder
        pinned = {**chosen._asdict(), "average_length": self._average_length[name]}
        encoder = create_encoder(
            recorded.name, recorded.argument, **{**recorded.parameters, **pinned}
        )
        assert isinstance(encoder, StatisticalEncoder)  # noqa: S101 - BM25 is one
        counts = self._counts[name]
        weights = np.empty(counts.nnz, dtype=np.float32)
        for first in range(0, len(counts), CHUNK_ROWS):
            indptr = counts.indptr[first : first + CHUNK_ROWS + 1]
            chunk = slice(int(indptr[0]), int(indptr[-1]))
            rows = SparseRows(indptr - indptr[0], counts.dimensions[chunk], counts.weights[chunk])
            weights[chunk] = encoder.weigh(rows).weights
        # As indexer.scales chooses it for a first commit of an encoder with a known bound.
        scale = float(weights.max(initial=0)) / 255 or 1.0
        impacts = np.empty(len(weights), dtype=np.uint8)
        quantise(weights, scale, impacts)
        size = self._rows[name].dimension_count
        self._rows[name] = ImpactRows(counts.indptr, counts.dimensions, impacts, size)
        changed = part.model_copy(
            update={
                "encoder": EncoderEntry.from_spec(encoder.spec, recorded.argument),
                "scale": scale,
            }
        )
        self._entry = SpaceEntry(
            parts=tuple(changed if p.name == name else p for p in self._entry.parts)
        )

    def _part(self, name: str) -> PartEntry:
        return next(part for part in self._entry.parts if part.name == name)


def _copy_segments(
    snapshot: Snapshot, space: str, directory: Path
) -> tuple[SegmentEntry, dict[str, PartRows]]:
    """Writes one segment of a space's live documents; its entry, and the rows of each part."""
    sources = snapshot.segments
    merged = MergedPassages.of(sources)
    kept = list(zip(sources, merged.kept, strict=True))
    merge_documents(directory, [(source.documents, alive) for source, alive in kept])
    doc_ids = [
        source.doc_ids[number]
        for source, alive in kept
        for number in np.flatnonzero(alive).tolist()
    ]
    write_string_table(directory, "doc_ids", doc_ids)
    parts = {
        part.name: merge_part(sources, merged, directory, space, part.name)
        for part in snapshot.manifest.spaces[space].parts
    }
    sealed, _ = seal_segment(
        directory,
        np.concatenate([source.ordinals[alive] for source, alive in kept]),
        merged.passages,
        [(space, parts)],
        BuildSettings(),
        vectors=merge_vectors(sources, merged, directory),
    )
    return sealed, parts


def _query_files(manifest: Manifest, entry: SpaceEntry) -> set[str | None]:
    rerank = manifest.rerank.files if manifest.rerank else ()
    queries = (part.query for part in entry.parts)
    return {*rerank, *(name for q in queries for name in (q.tokenizer_file, q.table_file))}
