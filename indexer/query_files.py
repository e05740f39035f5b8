"""Files of the query side, which make queries independent of the encoders.

``query/SPACE.PART.gN.tokenizer.json`` is the checkpoint's tokenizer as it was,
``query/SPACE.PART.gN.table.npy`` its published query weights, float32[V]. ``N`` is the
generation that wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from encoders.base import QuerySide
from indexer.draft import Spaces
from indexer.format.arrays import write_array
from indexer.format.commit import QUERY, describe_file, sync_directory, sync_file
from indexer.format.manifest import FileEntry, QueryEntry


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


def _table(side: QuerySide) -> Literal["corpus-idf", "content-idf", "published"]:
    if side.table is not None:
        return "published"
    return "content-idf" if side.content_only else "corpus-idf"
