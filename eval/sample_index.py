"""A small index of some documents, made like another one: what is measured there holds here.

Parts, weights, query tables, the way documents become passages, static vectors and their weight
are those of the other index. Statistics are those of the documents.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from encoders.base import Document
from encoders.expression import PartExpression
from encoders.registry import create_encoder
from indexer.builder import build_index
from indexer.configuration import configure_part, configure_rerank
from indexer.corpus.records import CorpusRecord
from indexer.format.arrays import read_array
from indexer.format.manifest import PartEntry
from indexer.settings import recorded_settings
from indexer.spaces import SpacePart, reopen_vectors, vectors_argument
from retriever.snapshot import Snapshot


def build_sample(
    snapshot: Snapshot,
    space: str,
    documents: Iterable[Document],
    output: Path,
    instead: Mapping[str, SpacePart] | None = None,
) -> None:
    """Builds an index of documents that has one space of another index.

    Args:
        snapshot: The other index.
        space: Name of the space.
        documents: What to index.
        output: Directory of the new index.
        instead: By part's name, what stands in its place: other encoders, with their own query
            tables.

    Raises:
        EncoderError: An encoder cannot be loaded, or is not the one that encoded the index.
        IndexerError: The same of the static vectors.
    """
    manifest, instead = snapshot.manifest, instead or {}
    entries = manifest.spaces[space].parts
    parts = tuple(instead.get(part.name) or _again(part) for part in entries)
    reopen_vectors(manifest.rerank)
    records = (CorpusRecord(document, str(snapshot.index), None) for document in documents)
    settings = recorded_settings(snapshot.index, manifest)
    build_index(
        records,
        output,
        {space: parts},
        # What order costs a large index is not worth it here, and it changes no result.
        settings=settings.model_copy(update={"order": "arrival"}),
        vectors=vectors_argument(manifest.rerank),
    )
    for part in entries:
        if part.name not in instead and part.encoder.vocabulary != "open":
            _take_query_table(snapshot.index, space, part, output)
    if manifest.rerank is not None:
        configure_rerank(output, manifest.rerank.weight)


def _again(part: PartEntry) -> SpacePart:
    """The encoder of a part, but for what BM25 takes from the documents it is fitted to."""
    recorded = part.encoder
    parameters = {k: v for k, v in recorded.parameters.items() if k != "average_length"}
    return SpacePart(
        PartExpression(part.weight, recorded.name, recorded.argument, part.name),
        create_encoder(recorded.name, recorded.argument, **parameters),
    )


def _take_query_table(index: Path, space: str, part: PartEntry, output: Path) -> None:
    """Gives a part the query table that the index has, where it was configured, too."""
    query = part.query
    if query.table_file is None or query.table != "published":
        configure_part(output, space, part.name, query_table=query.table)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.safetensors"
        save_file({"weight": np.array(read_array(index / query.table_file, np.float32))}, path)
        configure_part(output, space, part.name, query_table=str(path))
