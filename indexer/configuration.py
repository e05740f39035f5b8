"""Changes to the query side of an index: weights and query tables, as new generations."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from encoders.query.table import read_table
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.static_config import MAX_RERANK_WEIGHT
from indexer.errors import IndexerError
from indexer.format.arrays import write_array
from indexer.format.commit import (
    QUERY,
    commit_manifest,
    describe_file,
    remove_unnamed_files,
    sync_directory,
    sync_file,
    write_lock,
)
from indexer.format.manifest import (
    Manifest,
    PartEntry,
    QueryEntry,
    RerankEntry,
    SpaceEntry,
    read_manifest,
)


def configure_part(
    index: Path,
    space: str | None,
    part: str | None,
    *,
    weight: float | None = None,
    query_table: str | None = None,
) -> PartEntry:
    """Changes one part's query side and commits a new generation; no row is encoded again.

    Args:
        index: Directory of the index.
        space: Name of the space, ``None`` for the default one.
        part: Name of the part, ``None`` where there is one only.
        weight: New default weight, finite and > 0.
        query_table: ``corpus-idf``, ``content-idf``, ``published``, or the path of an ``idf.json``.

    Raises:
        IndexerError: There is no such space or part, or the table does not fit it.
    """
    read_manifest(index)
    with write_lock(index):
        manifest = read_manifest(index)
        space = space or manifest.default_space
        entry = _find(manifest, space, part)
        generation = manifest.generation + 1
        files = dict(manifest.files)
        if weight is not None:
            entry = _weighted(entry, weight)
        if query_table is not None:
            query = _query_entry(index, space, entry, query_table, generation)
            old, entry = entry, entry.model_copy(update={"query": query})
            if query.table_file != old.query.table_file:
                files.pop(old.query.table_file or "", None)
                files[str(query.table_file)] = describe_file(index / str(query.table_file))
        _commit(index, manifest, {"spaces": _with_parts(manifest, space, [entry]), "files": files})
        return entry


def configure_weights(
    index: Path, space: str, weights: Mapping[str, float], rerank: float | None = None
) -> None:
    """Changes weights that belong together in one new generation.

    Args:
        index: Directory of the index.
        space: Name of the space.
        weights: New default weights of some of its parts, finite and > 0.
        rerank: New default weight of static vectors, as for :func:`configure_rerank`.

    Raises:
        IndexerError: There is no such space or part, there are no vectors, or a weight is out of
            range.
    """
    read_manifest(index)
    with write_lock(index):
        manifest = read_manifest(index)
        parts = [
            _weighted(_find(manifest, space, name), weight) for name, weight in weights.items()
        ]
        update: dict[str, Any] = {"spaces": _with_parts(manifest, space, parts)}
        if rerank is not None:
            update["rerank"] = _reranked(index, manifest, rerank)
        _commit(index, manifest, update)


def configure_rerank(index: Path, weight: float) -> RerankEntry:
    """Changes the weight of static vectors and commits a new generation.

    Args:
        index: Directory of the index.
        weight: New default weight, above 0; a search that is given 0 does without.

    Raises:
        IndexerError: The index has no static vectors, or the weight is out of range.
    """
    read_manifest(index)
    with write_lock(index):
        manifest = read_manifest(index)
        entry = _reranked(index, manifest, weight)
        _commit(index, manifest, {"rerank": entry})
        return entry


def _weighted(part: PartEntry, weight: float) -> PartEntry:
    if not (math.isfinite(weight) and weight > 0):
        raise IndexerError(f"a part's weight must be finite and above 0, got {weight}.")
    return part.model_copy(update={"weight": weight})


def _reranked(index: Path, manifest: Manifest, weight: float) -> RerankEntry:
    if manifest.rerank is None:
        raise IndexerError(f"{index} has no static vectors: build it again with --vectors static.")
    if not 0 < weight <= MAX_RERANK_WEIGHT:
        raise IndexerError(
            f"the weight of static vectors must be above 0 and at most {MAX_RERANK_WEIGHT:g}, "
            f"got {weight}."
        )
    return manifest.rerank.model_copy(update={"weight": weight})


def _with_parts(
    manifest: Manifest, space: str, changed: Sequence[PartEntry]
) -> dict[str, SpaceEntry]:
    """The spaces, where parts of one have become others of the same names."""
    entries = {part.name: part for part in changed}
    parts = tuple(entries.get(part.name, part) for part in manifest.spaces[space].parts)
    return {**manifest.spaces, space: SpaceEntry(parts=parts)}


def _commit(index: Path, manifest: Manifest, update: dict[str, Any]) -> None:
    """Makes the next generation, which differs from this one by ``update``."""
    changed = manifest.model_copy(
        update={
            "generation": manifest.generation + 1,
            "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **update,
        }
    )
    commit_manifest(index, changed)
    remove_unnamed_files(index, changed)


def _find(manifest: Manifest, space: str, part: str | None) -> PartEntry:
    if space not in manifest.spaces:
        known = ", ".join(map(repr, manifest.spaces))
        raise IndexerError(f"the index has no space {space!r}; it has {known}.")
    parts = manifest.spaces[space].parts
    if part is None and len(parts) == 1:
        return parts[0]
    found = manifest.spaces[space].part(part) if part else None
    known = ", ".join(repr(other.name) for other in parts)
    if part is None:
        raise IndexerError(f"space {space!r} has several parts; choose among {known}.")
    if found is None:
        raise IndexerError(f"space {space!r} has no part {part!r}; choose among {known}.")
    return found


def _query_entry(
    index: Path, space: str, part: PartEntry, source: str, generation: int
) -> QueryEntry:
    if source == "corpus-idf":
        return part.query.model_copy(update={"table": "corpus-idf"})
    if source == "published":
        if part.query.table_file is None:
            raise IndexerError(f"part {part.name!r} came without published query weights.")
        return part.query.model_copy(update={"table": "published"})
    if part.encoder.vocabulary == "open" or part.query.tokenizer_file is None:
        raise IndexerError(
            f"part {part.name!r} has an open vocabulary: its query table is always corpus-idf."
        )
    if source == "content-idf":
        return part.query.model_copy(update={"table": "content-idf"})
    path = Path(source)
    if path.suffix not in (".json", ".txt", ".safetensors") or not path.is_file():
        raise IndexerError(
            f"--query-table takes corpus-idf, content-idf, published, or a file idf.json, "
            f"query_token_weights.txt or model.safetensors, got {source!r}."
        )
    tokenizer = WordPieceTokenizer((index / part.query.tokenizer_file).read_bytes())
    table = read_table(path, tokenizer, int(part.encoder.vocabulary))
    name = f"{QUERY}/{space}.{part.name}.g{generation}.table.npy"
    write_array(index / name, table.astype(np.float32))
    sync_file(index / name)
    sync_directory(index / QUERY)
    return part.query.model_copy(update={"table": "published", "table_file": name})
