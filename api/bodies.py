"""Reading requests: JSON bodies and query strings into pydantic models, within limits."""

from __future__ import annotations

import socket
import time
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import pydantic_core
from flask import Flask, Response, request
from pydantic import BaseModel, ValidationError

from api.deadlines import DISCARD_SECONDS, RECEIVE_SECONDS, receiving
from api.problems import Problem, invalid_field, invalid_fields
from api.settings import ServeSettings

Model = TypeVar("Model", bound=BaseModel)

CHUNK_BYTES = 64 * 1024
DISCARD_BYTES = 64 * 1024 * 1024
MAX_KEYS = 100
MAX_REPORTED_ERRORS = 20


def read_body(settings: ServeSettings) -> bytes:
    """Reads the body of the current request.

    Raises:
        Problem: It is not declared as JSON, is longer than the limit, or does not arrive in time.
    """
    is_json = request.mimetype == "application/json" or request.mimetype.endswith("+json")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if not is_json or charset not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(
            "unsupported_media_type",
            "Send the body as UTF-8 JSON with the header 'Content-Type: application/json'.",
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem("unsupported_media_type", "Send the body without Content-Encoding.")
    body = bytearray()
    if (request.content_length or 0) <= settings.max_body_bytes:
        while chunk := _read_chunk():
            body += chunk
            if len(body) > settings.max_body_bytes:
                break
        else:
            if not _received():
                raise _too_slow()
            return bytes(body)
    raise Problem(
        "body_too_large",
        f"The body is longer than the limit of {settings.max_body_bytes:,} bytes.",
    )


def parse_body(model: type[Model], body: bytes, settings: ServeSettings) -> Model:
    """Validates a JSON body, types taken strictly: the string ``"10"`` is not a number.

    Raises:
        Problem: ``invalid_json`` or ``invalid_request``.
    """
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem("invalid_json", f"The body is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Problem("invalid_request", "The body must be a JSON object.")
    return _validate(model, value, settings, strict=True)


def parse_query_string(
    model: type[Model], settings: ServeSettings, *, json_fields: frozenset[str], list_field: str
) -> Model:
    """Validates the query string of the current request.

    Args:
        model: What to make of it.
        settings: Limits, handed to the model's validators.
        json_fields: Parameters whose value is JSON text.
        list_field: The parameter that may be repeated or hold names separated by commas.

    Raises:
        Problem: ``bad_request`` or ``invalid_request``.
    """
    try:
        unquote_to_bytes(request.query_string).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("bad_request", "The query string is not percent-encoded UTF-8.") from error
    value: dict[str, Any] = {}
    for name, texts in request.args.lists():
        if name == list_field:
            value[name] = [item for text in texts for item in text.split(",") if item]
        elif len(texts) > 1:
            raise invalid_field(name, "given more than once")
        elif name in json_fields:
            try:
                value[name] = pydantic_core.from_json(texts[0], allow_inf_nan=False)
            except ValueError as error:
                raise invalid_field(name, f"not valid JSON: {error}") from error
        else:
            value[name] = texts[0]
    return _validate(model, value, settings, strict=False)


def register_body_limits(app: Flask) -> None:
    """Waits for no body that nobody reads, and for that of a refused request not long.

    What a refused request still sends is read, so that its client gets to read the answer:
    closing a connection with unread bytes resets it, and a client in the middle of a large upload
    would report the reset instead of, say, the 413.
    """

    @app.before_request
    def expect_no_body() -> None:
        if not request.content_length and "Transfer-Encoding" not in request.headers:
            _received()

    @app.after_request
    def discard(response: Response) -> Response:
        if response.status_code < 400:
            return response
        if not _discard_rest():
            response.headers["Connection"] = "close"
        return response


def _received() -> bool:
    """Ends the request's deadline; whether it was met."""
    client = _client()
    return client is None or receiving.end(client)


def _client() -> socket.socket | None:
    """The connection, where the server tells."""
    client: socket.socket | None = request.environ.get("gunicorn.socket")
    return client


def _read_chunk() -> bytes:
    try:
        chunk: bytes = request.stream.read(CHUNK_BYTES)
    except Exception as error:  # each WSGI server has its own for broken chunks and lost clients
        if not _received():
            raise _too_slow() from error
        raise Problem("bad_request", "The body ends early or is badly chunked.") from error
    return chunk


def _too_slow() -> Problem:
    detail = f"The request did not arrive within {RECEIVE_SECONDS:g} seconds."
    return Problem("request_timeout", detail)


def _discard_rest() -> bool:
    """Reads the rest of the request; whether that was all of it."""
    client = _client()
    if client is not None:
        receiving.begin(client, DISCARD_SECONDS)
    deadline = time.monotonic() + DISCARD_SECONDS
    left = DISCARD_BYTES
    try:
        while left > 0 and time.monotonic() < deadline:
            chunk = _read_chunk()
            if not chunk:
                return _received()
            left -= len(chunk)
    except Problem:
        pass
    _received()
    return False


def _validate(
    model: type[Model], value: dict[str, Any], settings: ServeSettings, *, strict: bool
) -> Model:
    if len(value) > MAX_KEYS:
        raise Problem("invalid_request", f"The request has more than {MAX_KEYS} fields.")
    try:
        return model.model_validate(value, strict=strict, context=settings)
    except ValidationError as error:
        known = ", ".join(model.model_fields)
        errors = [
            _field_error(item["loc"], item["type"], item["msg"], known)
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise invalid_fields(errors[:MAX_REPORTED_ERRORS]) from error


def _field_error(loc: tuple[int | str, ...], kind: str, message: str, known: str) -> dict[str, str]:
    field = ".".join(str(part) for part in loc)[:100]
    if kind == "extra_forbidden":
        message = f"unknown field; known are {known}"
    return {"field": field, "detail": message}
