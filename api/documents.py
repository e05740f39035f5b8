"""Route: one stored document."""

from __future__ import annotations

from flask import Blueprint, Response
from werkzeug.routing import BaseConverter

from api.hits import field_value
from api.responses import DocumentAnswer, IndexReference
from api.served import current_service

blueprint = Blueprint("documents", __name__, url_prefix="/v1/indexes/<index>/documents")


class DocumentIdConverter(BaseConverter):
    """The rest of the path, so that ``/docs//a.txt`` is as good an id as any."""

    regex = ".+"
    part_isolating = False


@blueprint.get("/<doc_id:doc_id>")
def get_document(index: str, doc_id: str) -> Response:
    """Returns a stored document."""
    served = current_service().index(index)
    searcher = served.pinned()
    document = searcher.document(doc_id)
    return DocumentAnswer(
        doc_id=document.doc_id,
        title=document.title,
        text=document.text,
        metadata={name: field_value(value) for name, value in document.metadata.items()},
        index=IndexReference(name=served.name, generation=searcher.generation),
    ).to_response()
