"""Routes: search one query, search a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from flask import Blueprint, Response

from api.answers import AnswerBuffer
from api.bodies import parse_body, parse_query_string, read_body
from api.hits import check_fields, ranked_documents
from api.problems import Problem
from api.request_context import timed
from api.responses import BatchAnswer, IndexReference, QueryAnswer, SearchAnswer, TotalCount
from api.schemas import BatchQuery, BatchRequest, SearchRequest
from api.searcher import SearcherLike
from api.served import ServedIndex, current_service
from api.settings import ServeSettings
from retriever.results import Results

blueprint = Blueprint("search", __name__, url_prefix="/v1/indexes/<index>/search")

JSON_PARAMETERS = frozenset({"vector", "filter", "part_weights"})
"""Parameters of ``GET`` whose value is JSON text."""

LIST_PARAMETER = "fields"
"""The parameter of ``GET`` that may be repeated or hold names separated by commas."""

SLICE_HITS = 1000
"""Most hits of a batch that are in memory as objects, unless one query has more."""

SLICE_QUERIES = 100
"""Most queries of a batch between two looks at the clock."""


@blueprint.get("")
def search_by_query_string(index: str) -> Response:
    """Searches with the options of the query string."""
    service = current_service()
    served = service.index(index)
    wanted = parse_query_string(
        SearchRequest, service.settings, json_fields=JSON_PARAMETERS, list_field=LIST_PARAMETER
    )
    with service.gate.turn():
        return _search(served, wanted, service.settings)


@blueprint.post("")
def search_by_body(index: str) -> Response:
    """Searches with the options of a JSON body."""
    service = current_service()
    served = service.index(index)
    body = read_body(service.settings)
    # Parsing waits for its turn too: a large body takes memory many times its size.
    with service.gate.turn():
        wanted = parse_body(SearchRequest, body, service.settings)
        return _search(served, wanted, service.settings)


@blueprint.post("/batch")
def search_batch(index: str) -> Response:
    """Searches many queries that share their options."""
    service = current_service()
    served = service.index(index)
    body = read_body(service.settings)
    with service.gate.turn():
        wanted = parse_body(BatchRequest, body, service.settings)
        return _search_batch(served, wanted, service.settings)


def _search(served: ServedIndex, wanted: SearchRequest, settings: ServeSettings) -> Response:
    searcher = served.pinned()
    fields = check_fields(wanted.fields, searcher)
    with timed("search"):
        results = searcher.search(wanted.search_query(), **wanted.search_arguments())
    index = IndexReference(name=served.name, generation=searcher.generation)
    answer = SearchAnswer(**_outcome(results), index=index)
    written = AnswerBuffer(settings.max_answer_bytes)
    with timed("documents"):
        written.add(answer, "hits", ranked_documents(results, searcher, fields))
    return written.response()


def _search_batch(served: ServedIndex, wanted: BatchRequest, settings: ServeSettings) -> Response:
    started = time.monotonic()
    searcher = served.pinned()
    fields = check_fields(wanted.fields, searcher)
    written = AnswerBuffer(settings.max_answer_bytes)
    took_ms = 0.0
    answered = 0
    for queries in _slices(wanted.queries, wanted.top_k):
        if answered and time.monotonic() - started > settings.batch_seconds:
            raise _too_slow(answered, len(wanted.queries), settings)
        took_ms += _search_slice(queries, wanted, searcher, fields, written)
        answered += len(queries)
    index = IndexReference(name=served.name, generation=searcher.generation)
    answer = BatchAnswer(took_ms=round(took_ms, 3), results=[], index=index)
    return written.response_within(answer, "results")


def _search_slice(
    queries: Sequence[BatchQuery],
    wanted: BatchRequest,
    searcher: SearcherLike,
    fields: Sequence[str],
    written: AnswerBuffer,
) -> float:
    """Answers some queries of a batch; the milliseconds that their searches took."""
    with timed("search"):
        # One thread per request: clients that want more send several batches.
        found = searcher.search_batch(queries, threads=1, **wanted.search_arguments())
    took_ms = 0.0
    with timed("documents"):
        for results in found:
            answer = QueryAnswer(**_outcome(results))
            written.add(answer, "hits", ranked_documents(results, searcher, fields))
            took_ms += answer.took_ms
    return took_ms


def _outcome(results: Results) -> dict[str, Any]:
    """What the answer to any query holds, without its hits, which are written one by one."""
    return {
        "took_ms": round(results.took_ms, 3),
        "exact": results.exact,
        "total": TotalCount(value=results.total.value, relation=results.total.relation),
        "hits": [],
    }


def _slices(queries: Sequence[BatchQuery], top_k: int) -> Iterator[Sequence[BatchQuery]]:
    """The queries, some at a time."""
    size = max(1, min(SLICE_QUERIES, SLICE_HITS // max(1, top_k)))
    for start in range(0, len(queries), size):
        yield queries[start : start + size]


def _too_slow(answered: int, queries: int, settings: ServeSettings) -> Problem:
    # Not a 503, which clients and proxies send again: it would take as long again.
    return Problem(
        "batch_too_slow",
        f"After {settings.batch_seconds:g} seconds, {answered:,} of {queries:,} queries were "
        "answered: send fewer at a time, or give a posting_budget.",
    )
