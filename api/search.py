"""Routes: search one query, search a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import Blueprint, Response

from api.bodies import parse_body, parse_query_string, read_body
from api.hits import check_fields, query_answer
from api.request_context import timed
from api.responses import BatchAnswer, IndexReference, QueryAnswer, SearchAnswer
from api.schemas import BatchRequest, SearchRequest
from api.searcher import SearcherLike
from api.served import ServedIndex, current_service
from retriever.errors import DocumentNotFoundError

T = TypeVar("T")

blueprint = Blueprint("search", __name__, url_prefix="/v1/indexes/<index>/search")

JSON_PARAMETERS = frozenset({"vector", "filter", "part_weights"})
"""Parameters of ``GET`` whose value is JSON text."""

LIST_PARAMETER = "fields"
"""The parameter of ``GET`` that may be repeated or hold names separated by commas."""


@blueprint.get("")
def search_by_query_string(index: str) -> Response:
    """Searches with the options of the query string."""
    service = current_service()
    served = service.index(index)
    wanted = parse_query_string(
        SearchRequest, service.settings, json_fields=JSON_PARAMETERS, list_field=LIST_PARAMETER
    )
    with service.gate.turn():
        return _search(served, wanted)


@blueprint.post("")
def search_by_body(index: str) -> Response:
    """Searches with the options of a JSON body."""
    service = current_service()
    served = service.index(index)
    body = read_body(service.settings)
    # Parsing waits for its turn too: a large body takes memory many times its size.
    with service.gate.turn():
        return _search(served, parse_body(SearchRequest, body, service.settings))


@blueprint.post("/batch")
def search_batch(index: str) -> Response:
    """Searches many queries that share their options."""
    service = current_service()
    served = service.index(index)
    body = read_body(service.settings)
    with service.gate.turn():
        return _search_batch(served, parse_body(BatchRequest, body, service.settings))


def _search(served: ServedIndex, wanted: SearchRequest) -> Response:
    fields = check_fields(wanted.fields, served)

    def read(searcher: SearcherLike) -> QueryAnswer:
        with timed("search"):
            results = searcher.search(wanted.search_query(), **wanted.search_arguments())
        with timed("documents"):
            return query_answer(results, searcher, fields)

    answer, generation = _read_hits(served, read)
    return SearchAnswer(
        took_ms=answer.took_ms,
        exact=answer.exact,
        total=answer.total,
        hits=answer.hits,
        index=IndexReference(name=served.name, generation=generation),
    ).to_response()


def _search_batch(served: ServedIndex, wanted: BatchRequest) -> Response:
    fields = check_fields(wanted.fields, served)

    def read(searcher: SearcherLike) -> list[QueryAnswer]:
        with timed("search"):
            # One thread per request: clients that want more send several batches.
            results = searcher.search_batch(wanted.queries, threads=1, **wanted.search_arguments())
        with timed("documents"):
            return [query_answer(result, searcher, fields) for result in results]

    answers, generation = _read_hits(served, read)
    return BatchAnswer(
        took_ms=round(sum(answer.took_ms for answer in answers), 3),
        results=answers,
        index=IndexReference(name=served.name, generation=generation),
    ).to_response()


def _read_hits(served: ServedIndex, read: Callable[[SearcherLike], T]) -> tuple[T, int]:
    try:
        return served.read(read)
    except DocumentNotFoundError as error:
        # A document that the client asked for may be unknown; that of a hit may not.
        raise RuntimeError("the index has no document for one of its hits") from error
