"""Routes: which indexes there are, and what one of them holds."""

from __future__ import annotations

from pathlib import PurePath

from flask import Blueprint, Response

from api.responses import (
    IndexInformation,
    IndexList,
    PartInformation,
    RerankInformation,
    SpaceInformation,
)
from api.served import ServedIndex, current_service
from retriever.description import RerankDescription

blueprint = Blueprint("indexes", __name__, url_prefix="/v1/indexes")


@blueprint.get("")
def list_indexes() -> Response:
    """Describes all indexes."""
    service = current_service()
    found = [information(service.index(name)) for name in service.indexes]
    return IndexList(indexes=found).to_response()


@blueprint.get("/<index>")
def describe_index(index: str) -> Response:
    """Describes one index."""
    return information(current_service().index(index)).to_response()


def information(served: ServedIndex) -> IndexInformation:
    """What clients may know of an index: nothing of where files lie on the server's disk."""
    described = served.searcher.description()
    return IndexInformation(
        name=served.name,
        generation=described.generation,
        format_version=described.format_version,
        document_count=described.document_count,
        passage_count=described.passage_count,
        segment_count=described.segment_count,
        size_bytes=described.size_bytes,
        created_at=described.created_at,
        default_space=described.default_space,
        spaces={
            name: SpaceInformation(
                parts=[
                    PartInformation(
                        name=part.name,
                        weight=part.weight,
                        encoder=_without_folders(part.encoder),
                        vocabulary=part.vocabulary,
                        query_table=part.query_table,
                    )
                    for part in space.parts
                ]
            )
            for name, space in described.spaces.items()
        },
        rerank=_rerank(described.rerank),
        fields=described.fields,
    )


def _rerank(described: RerankDescription | None) -> RerankInformation | None:
    if described is None:
        return None
    return RerankInformation(
        weight=described.weight,
        depth=described.depth,
        dimensions=described.dimensions,
        vectors=described.short_name,
    )


def _without_folders(encoder: str) -> str:
    """``splade:/models/tiny`` as ``splade:tiny``."""
    kind, colon, argument = encoder.partition(":")
    return kind + colon + PurePath(argument).name
