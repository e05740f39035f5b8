"""Errors over HTTP: RFC 9457 ``application/problem+json`` for every one of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from retriever.errors import (
    DocumentNotFoundError,
    FilterError,
    NoVectorsError,
    QueryError,
    UnknownPartError,
    UnknownSpaceError,
)

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:winnow:problem:"

PROBLEMS: dict[str, tuple[int, str]] = {
    "bad_request": (400, "Request cannot be understood"),
    "invalid_json": (400, "Body is not JSON"),
    "unauthorized": (401, "API key needed"),
    "not_found": (404, "No such route"),
    "unknown_index": (404, "No such index"),
    "unknown_document": (404, "No such document"),
    "method_not_allowed": (405, "Method not allowed"),
    "request_timeout": (408, "Request took too long to arrive"),
    "body_too_large": (413, "Body too large"),
    "uri_too_long": (414, "URL too long"),
    "unsupported_media_type": (415, "Body must be JSON"),
    "invalid_request": (422, "Request has invalid fields"),
    "invalid_query": (422, "Query cannot be searched"),
    "invalid_filter": (422, "Filter cannot be applied"),
    "unknown_space": (422, "No such space"),
    "unknown_part": (422, "No such part"),
    "no_vectors": (422, "No static vectors"),
    "answer_too_large": (422, "Answer too large"),
    "batch_too_slow": (422, "Batch took too long"),
    "too_busy": (429, "Too many searches at once"),
    "headers_too_large": (431, "Headers too large"),
    "internal_error": (500, "Server error"),
    "not_ready": (503, "Not ready"),
}
"""Every problem code of this server, with its HTTP status and its title."""

QUERY_PROBLEMS: tuple[tuple[type[QueryError], str, str], ...] = (
    (FilterError, "invalid_filter", "filter"),
    (UnknownSpaceError, "unknown_space", "space"),
    (UnknownPartError, "unknown_part", "part_weights"),
    (NoVectorsError, "no_vectors", "rerank"),
    (QueryError, "invalid_query", "query"),
)

_CODE_OF_STATUS = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "too_busy",
    431: "headers_too_large",
    500: "internal_error",
}

logger = logging.getLogger(__name__)


class Problem(Exception):
    """An answer other than success.

    Attributes:
        code: Key of ``PROBLEMS``; decides the status and the title.
        detail: One sentence for the person who sent the request.
        errors: What is wrong with which field: ``{"field": ..., "detail": ...}``.
        headers: Additional response headers.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})


def invalid_field(field: str, detail: str) -> Problem:
    """The problem of a request of which one field is wrong."""
    return invalid_fields([{"field": field[:100], "detail": detail}])


def invalid_fields(errors: Sequence[Mapping[str, str]]) -> Problem:
    """The problem of a request of which several fields are wrong."""
    first = errors[0]
    where = f"{first['field']}: " if first["field"] else ""
    more = f" ({len(errors) - 1} more in errors)" if len(errors) > 1 else ""
    return Problem("invalid_request", f"{where}{first['detail']}{more}", errors=errors)


def problem_document(
    code: str, detail: str, *, status: int | None = None, **members: Any
) -> dict[str, Any]:
    """The JSON object of a problem; ``members`` that are empty are left out."""
    known_status, title = PROBLEMS[code]
    document = {
        "type": TYPE_PREFIX + code.replace("_", "-"),
        "title": title,
        "status": status or known_status,
        "detail": detail,
        "code": code,
    }
    return document | {name: value for name, value in members.items() if value}


def problem_response(problem: Problem, *, status: int | None = None) -> Response:
    """The HTTP response of a problem."""
    document = problem_document(
        problem.code,
        problem.detail,
        status=status,
        instance=request.path[:200],
        errors=list(problem.errors),
        request_id=g.get("request_id"),
    )
    return Response(
        json.dumps(document, ensure_ascii=True),
        status=document["status"],
        headers=problem.headers,
        content_type=CONTENT_TYPE,
    )


def register_problem_handlers(app: Flask) -> None:
    """Turns every exception of ``app`` into a problem document; none shows a traceback."""

    @app.errorhandler(Problem)
    def answer_problem(problem: Problem) -> Response:
        return problem_response(problem)

    @app.errorhandler(QueryError)
    def answer_query_error(error: QueryError) -> Response:
        code, field = next((c, f) for kind, c, f in QUERY_PROBLEMS if isinstance(error, kind))
        detail = str(error)
        return problem_response(Problem(code, detail, errors=[{"field": field, "detail": detail}]))

    @app.errorhandler(DocumentNotFoundError)
    def answer_unknown_document(_error: DocumentNotFoundError) -> Response:
        return problem_response(
            Problem("unknown_document", "The index holds no document of this id.")
        )

    @app.errorhandler(HTTPException)
    def answer_http_exception(error: HTTPException) -> Response:
        status = error.code or 500
        code = _CODE_OF_STATUS.get(status, "bad_request" if status < 500 else "internal_error")
        allowed = {k: v for k, v in error.get_headers() if k in ("Allow", "Retry-After")}
        return problem_response(Problem(code, _http_detail(status), headers=allowed), status=status)

    @app.errorhandler(Exception)
    def answer_unexpected(error: Exception) -> Response:
        logger.error(
            "request %s: %s %s failed",
            g.get("request_id"),
            request.method,
            request.path[:200],
            exc_info=error,
        )
        return problem_response(
            Problem(
                "internal_error",
                "The server failed on this request; its log tells why under the request id.",
            )
        )


def _http_detail(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "There is no such route; /openapi.json lists those that there are."
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"This route does not answer {request.method}; the header Allow lists what it does."
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    return f"{phrase}."
