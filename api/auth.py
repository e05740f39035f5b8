"""API keys: read from a file or the environment, kept hashed, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path

from flask import Flask, request

from api.problems import Problem

KEYS_VARIABLE = "WINNOW_API_KEYS"
"""Environment variable that holds keys, one per line."""

PROTECTED_PREFIX = "/v1"


class ApiKeyError(Exception):
    """The keys given to the server cannot be used; the message says why."""


class ApiKeys:
    """A set of bearer keys of which only SHA-256 digests are kept.

    >>> ApiKeys(["correct-horse"]).accepts("correct-horse")
    True
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple({_digest(key) for key in keys})
        if not self._digests:
            raise ApiKeyError("no API key given: at least one is needed")

    def __repr__(self) -> str:
        return f"ApiKeys({len(self)} keys)"

    def __len__(self) -> int:
        return len(self._digests)

    def accepts(self, key: str) -> bool:
        """Whether ``key`` is one of the keys; takes as long for a wrong key as for a right one."""
        digest = _digest(key)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)


def parse_keys(text: str, source: str) -> ApiKeys:
    """Reads keys from ``text``: one per line, blank lines and ``#`` comments left out.

    Args:
        text: Content of a key file or of the environment variable.
        source: Where the text comes from, for messages.

    Raises:
        ApiKeyError: There is no key, or a line holds more than printable ASCII without spaces.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ApiKeyError(
                f"{source}, line {number}: a key must be printable ASCII without spaces, "
                "since it travels in an HTTP header"
            )
        keys.append(key)
    if not keys:
        raise ApiKeyError(f"{source} holds no API key: write one per line")
    return ApiKeys(keys)


def read_keys(path: Path) -> ApiKeys:
    """Reads a key file.

    Raises:
        ApiKeyError: The file cannot be read or holds no usable key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ApiKeyError(f"cannot read the API key file {path}: {reason}") from error
    return parse_keys(text, str(path))


def find_keys(path: Path | None) -> ApiKeys | None:
    """Keys of the file ``path``, else of the environment, else ``None``.

    Raises:
        ApiKeyError: Keys were given that cannot be used.
    """
    if path is not None:
        return read_keys(path)
    text = os.environ.get(KEYS_VARIABLE, "")
    return parse_keys(text, f"the variable {KEYS_VARIABLE}") if text.strip() else None


def require_key(app: Flask, keys: ApiKeys | None) -> None:
    """Makes every route below ``/v1`` ask for one of ``keys``; ``None`` leaves them open."""
    if keys is None:
        return

    @app.before_request
    def check_key() -> None:
        if not request.path.startswith(PROTECTED_PREFIX):
            return
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Problem(
                "unauthorized",
                "This server needs an API key: send the header 'Authorization: Bearer KEY'.",
                headers={"WWW-Authenticate": 'Bearer realm="winnow"'},
            )
        if not keys.accepts(key.strip()):
            raise Problem(
                "unauthorized",
                "The API key is not known to this server.",
                headers={"WWW-Authenticate": 'Bearer realm="winnow", error="invalid_token"'},
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
