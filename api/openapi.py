"""The OpenAPI document of the server, made from the models that check its requests."""

from __future__ import annotations

import functools
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Blueprint, Response
from pydantic.json_schema import models_json_schema

from api.problems import CONTENT_TYPE, PROBLEMS
from api.responses import (
    BatchAnswer,
    DocumentAnswer,
    Health,
    IndexInformation,
    IndexList,
    ProblemDocument,
    SearchAnswer,
)
from api.schemas import BatchRequest, SearchRequest
from api.search import JSON_PARAMETERS, LIST_PARAMETER
from api.served import current_service
from api.settings import ServeSettings

blueprint = Blueprint("openapi", __name__)

REFERENCE = "#/components/schemas/{model}"

SEARCH_PROBLEMS = (
    "bad_request",
    "unknown_index",
    "invalid_request",
    "answer_too_large",
    "too_busy",
)
BODY_PROBLEMS = (
    "invalid_json",
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
)


@blueprint.get("/openapi.json")
def openapi_document() -> Response:
    """Describes this server: OpenAPI 3.1."""
    service = current_service()
    return Response(_document_text(service.settings), content_type="application/json")


@functools.lru_cache(maxsize=4)
def _document_text(settings: ServeSettings) -> str:
    return json.dumps(build_document(settings))


def build_document(settings: ServeSettings) -> dict[str, Any]:
    """The OpenAPI document under these settings, limits and keys included."""
    schemas = _schemas(settings)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Winnow",
            "version": _version(),
            "description": "Learned sparse search. Errors are application/problem+json.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(schemas),
        "components": {"schemas": schemas},
    }
    if settings.api_keys is not None:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values() if path.startswith("/v1") else ():
                operation["security"] = [{"key": []}]
                operation["responses"] |= _problems("unauthorized")
    return document


def _schemas(settings: ServeSettings) -> dict[str, Any]:
    _, definitions = models_json_schema(
        [
            (SearchRequest, "validation"),
            (BatchRequest, "validation"),
            (SearchAnswer, "serialization"),
            (BatchAnswer, "serialization"),
            (DocumentAnswer, "serialization"),
            (IndexInformation, "serialization"),
            (IndexList, "serialization"),
            (Health, "serialization"),
            (ProblemDocument, "serialization"),
        ],
        ref_template=REFERENCE,
    )
    schemas: dict[str, Any] = definitions["$defs"]
    # These limits belong to the server, not to the models.
    for request in (schemas["SearchRequest"]["properties"], schemas["BatchRequest"]["properties"]):
        request["top_k"]["maximum"] = settings.max_top_k
        request["offset"]["maximum"] = settings.max_window
        if settings.max_postings is not None:
            request["posting_budget"]["description"] += (
                f" On this server {settings.max_postings:,}, for 0 and for more than that."
            )
    query = schemas["SearchRequest"]["properties"]["query"]
    query["anyOf"][0]["maxLength"] = settings.max_query_chars
    queries = schemas["BatchRequest"]["properties"]["queries"]
    queries["maxItems"] = settings.max_batch_queries
    queries["items"]["anyOf"][0]["maxLength"] = settings.max_query_chars
    return schemas


def _paths(schemas: dict[str, Any]) -> dict[str, Any]:
    index = _path_parameter("index", "Name of the index.")
    doc_id = _path_parameter(
        "doc_id", "Id of the document; it may hold slashes, percent-encoded or not."
    )
    search, batch = "/v1/indexes/{index}/search", "/v1/indexes/{index}/search/batch"
    return {
        search: {
            "get": _operation(
                "searchByQueryString",
                "Search with the options of the query string",
                "SearchAnswer",
                *SEARCH_PROBLEMS,
                "uri_too_long",
                parameters=[index, *_query_parameters(schemas["SearchRequest"])],
            ),
            "post": _operation(
                "search",
                "Search with the options of a JSON body",
                "SearchAnswer",
                *SEARCH_PROBLEMS,
                *BODY_PROBLEMS,
                parameters=[index],
                body="SearchRequest",
            ),
        },
        batch: {
            "post": _operation(
                "searchBatch",
                "Search many queries that share their options",
                "BatchAnswer",
                *SEARCH_PROBLEMS,
                *BODY_PROBLEMS,
                "batch_too_slow",
                parameters=[index],
                body="BatchRequest",
            )
        },
        "/v1/indexes": {"get": _operation("listIndexes", "Describe all indexes", "IndexList")},
        "/v1/indexes/{index}": {
            "get": _operation(
                "describeIndex",
                "Describe one index",
                "IndexInformation",
                "unknown_index",
                parameters=[index],
            )
        },
        "/v1/indexes/{index}/documents/{doc_id}": {
            "get": _operation(
                "getDocument",
                "Return a stored document",
                "DocumentAnswer",
                "unknown_index",
                "unknown_document",
                parameters=[index, doc_id],
            )
        },
        "/healthz": {"get": _operation("health", "Whether the process lives", "Health")},
        "/readyz": {"get": _operation("readiness", "Whether it is warm", "Health", "not_ready")},
        "/openapi.json": {
            "get": {
                "operationId": "openapi",
                "summary": "Describe this server",
                "responses": {"200": {"description": "An OpenAPI document."}},
            }
        },
    }


def _operation(
    operation_id: str,
    summary: str,
    answer: str,
    *problems: str,
    parameters: list[dict[str, Any]] | None = None,
    body: str | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": operation_id, "summary": summary}
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": _json_content(body)}
    operation["responses"] = {
        "200": {"description": "Success.", "content": _json_content(answer)}
    } | _problems(*problems, "internal_error")
    return operation


def _problems(*codes: str) -> dict[str, Any]:
    titles: dict[str, list[str]] = {}
    for code in codes:
        status, title = PROBLEMS[code]
        titles.setdefault(str(status), []).append(title)
    return {
        status: {
            "description": "; ".join(of_status) + ".",
            "content": _json_content("ProblemDocument", CONTENT_TYPE),
        }
        for status, of_status in sorted(titles.items())
    }


def _json_content(model: str, content_type: str = "application/json") -> dict[str, Any]:
    return {content_type: {"schema": {"$ref": REFERENCE.format(model=model)}}}


def _path_parameter(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }


def _query_parameters(request: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = []
    for name, schema in request["properties"].items():
        parameter: dict[str, Any] = {"name": name, "in": "query"}
        if name in JSON_PARAMETERS:
            parameter["content"] = {"application/json": {"schema": schema}}
        else:
            parameter["schema"] = schema
        if name == LIST_PARAMETER:
            parameter |= {"style": "form", "explode": False}
        parameters.append(parameter)
    return parameters


def _version() -> str:
    try:
        return version("winnow-search")
    except PackageNotFoundError:
        return "0"
