"""Files of the query side, which make queries independent of the encoders.

``query/SPACE.PART.gN.tokenizer.json`` is the checkpoint's tokenizer as it was,
``query/SPACE.PART.gN.table.npy`` its published query weights, float32[V]; ``query/rerank.gN.*`` is
what static vectors need. ``N`` is the generation that wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from encoders.base import QuerySide
from encoders.document_vectors import DocumentVectors
from indexer.draft import Spaces
from indexer.format.arrays import write_array
from indexer.format.commit import QUERY, describe_file, sync_directory, sync_file
from indexer.format.manifest import FileEntry, QueryEntry, RerankEntry


def write_query_files(
    index: Path, spaces: Spaces, generation: int
) -> tuple[Mapping[str, QueryEntry], dict[str, FileEntry]]:
    """Writes and seals the files; returns entries per ``SPACE.PART`` and per file."""
    directory = index / QUERY
    directory.mkdir(exist_ok=True)
    entries: dict[str, QueryEntry] = {}
    files: dict[str, FileEntry] = {}
    for space, parts in spaces.items():
        for part in parts:
            side = part.encoder.query_side()
            prefix = f"{QUERY}/{space}.{part.name}.g{generation}"
            tokenizer_file = table_file = None
            if side.tokenizer_json is not None:
                tokenizer_file = f"{prefix}.tokenizer.json"
                (index / tokenizer_file).write_bytes(side.tokenizer_json)
            if side.table is not None:
                table_file = f"{prefix}.table.npy"
                write_array(index / table_file, side.table)
            for name in filter(None, (tokenizer_file, table_file)):
                sync_file(index / name)
                files[name] = describe_file(index / name)
            entries[f"{space}.{part.name}"] = QueryEntry(
                analyzer=side.analyzer,
                tokenizer_file=tokenizer_file,
                table=_table(side),
                table_file=table_file,
            )
    sync_directory(directory)
    sync_directory(index)
    return entries, files


def write_rerank_files(
    index: Path, vectors: DocumentVectors, generation: int
) -> tuple[RerankEntry, dict[str, FileEntry]]:
    """The same for static vectors, for which the folder is there already."""
    prefix = f"{QUERY}/rerank.g{generation}"
    entry = RerankEntry(
        argument=vectors.argument,
        content_hash=vectors.content_hash,
        weight=vectors.config.weight,
        depth=vectors.config.depth,
        dimensions=vectors.dimensions,
        tokenizer_file=f"{prefix}.tokenizer.json",
        table_file=f"{prefix}.table.npy",
        weights_file=f"{prefix}.weights.npy",
    )
    (index / entry.tokenizer_file).write_bytes(vectors.tokenizer_json)
    write_array(index / entry.table_file, vectors.query_table)
    write_array(index / entry.weights_file, vectors.query_weight)
    for name in entry.files:
        sync_file(index / name)
    sync_directory(index / QUERY)
    return entry, {name: describe_file(index / name) for name in entry.files}


def _table(side: QuerySide) -> Literal["corpus-idf", "content-idf", "published"]:
    if side.table is not None:
        return "published"
    return "content-idf" if side.content_only else "corpus-idf"
