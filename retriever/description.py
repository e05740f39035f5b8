"""An index described for its users."""

from __future__ import annotations

from pathlib import PurePath

from pydantic import BaseModel, ConfigDict

from encoders.static_config import MINILM, has_dense_documents
from indexer.format.manifest import RerankEntry
from retriever.snapshot import Snapshot


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartDescription(_Model):
    """One part of a space."""

    name: str
    weight: float
    encoder: str
    vocabulary: str
    query_table: str
    scale: float


class SpaceDescription(_Model):
    """One space."""

    parts: list[PartDescription]


class RerankDescription(_Model):
    """Vectors that rank the first documents of a search again."""

    weight: float
    depth: int
    dimensions: int
    vectors: str

    @property
    def short_name(self) -> str:
        """``static``, ``minilm``, or the name of a directory without those around it."""
        return MINILM if has_dense_documents(self.vectors) else PurePath(self.vectors).name


class IndexDescription(_Model):
    """What an index holds."""

    name: str
    path: str
    format_version: str
    generation: int
    created_at: str
    document_count: int
    passage_count: int
    segment_count: int
    size_bytes: int
    default_space: str
    spaces: dict[str, SpaceDescription]
    rerank: RerankDescription | None
    fields: dict[str, str]


def describe(snapshot: Snapshot) -> IndexDescription:
    """Describes one generation of an index."""
    manifest = snapshot.manifest
    spaces = {}
    for name, space in manifest.spaces.items():
        parts = [
            PartDescription(
                name=part.name,
                weight=part.weight,
                encoder=part.encoder.name
                + (f":{part.encoder.argument}" if part.encoder.argument else ""),
                vocabulary=str(part.encoder.vocabulary),
                query_table=part.query.table,
                scale=part.scale,
            )
            for part in space.parts
        ]
        spaces[name] = SpaceDescription(parts=parts)
    return IndexDescription(
        name=snapshot.index.name.removesuffix(".winnow"),
        path=str(snapshot.index),
        format_version=manifest.version,
        generation=manifest.generation,
        created_at=manifest.created_at,
        document_count=manifest.document_count,
        passage_count=manifest.row_count,
        segment_count=len(manifest.segments),
        size_bytes=snapshot.size_bytes,
        default_space=manifest.default_space,
        spaces=spaces,
        rerank=_rerank(manifest.rerank),
        fields=dict(manifest.fields),
    )


def _rerank(entry: RerankEntry | None) -> RerankDescription | None:
    if entry is None:
        return None
    return RerankDescription(
        weight=entry.weight,
        depth=entry.depth,
        dimensions=entry.dimensions,
        vectors=entry.argument or "static",
    )
