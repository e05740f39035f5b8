"""Answers as bytes, written hit by hit: one that grows too long is refused before it is large."""

from __future__ import annotations

import io
from collections.abc import Iterable

from flask import Response

from api.problems import Problem
from api.responses import Answer


class AnswerBuffer:
    """JSON of one answer, or of the members of its list, up to a limit.

    Objects of a whole answer would take memory many times that of its JSON, so that each hit
    becomes bytes before the next one is read. The bytes are those of the whole answer's model.

    Args:
        limit: Longest answer in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._written = io.BytesIO()

    def add(self, frame: Answer, member: str, items: Iterable[Answer]) -> None:
        """Writes ``frame``, after a comma unless it is the first.

        Args:
            frame: An answer whose list ``member`` is empty.
            member: The name of that list.
            items: What the list is to hold.

        Raises:
            Problem: ``answer_too_large``.
        """
        head, tail = _around(frame, member)
        self._write(b"," + head if self._written.tell() else head)
        for number, item in enumerate(items):
            json = item.to_json()
            self._write(b"," + json if number else json)
        self._write(tail)

    def response(self) -> Response:
        """What was written, as an HTTP response."""
        return Response(self._written.getvalue(), content_type="application/json")

    def response_within(self, frame: Answer, member: str) -> Response:
        """What was written as the members of a list of ``frame``; see :meth:`add`."""
        head, tail = _around(frame, member)
        self._check(len(head) + len(tail))
        # Three pieces: joined, the answer would be in memory twice.
        pieces = [head, self._written.getvalue(), tail]
        return Response(pieces, content_type="application/json")

    def _write(self, json: bytes) -> None:
        self._check(len(json))
        self._written.write(json)

    def _check(self, more: int) -> None:
        if self._written.tell() + more > self._limit:
            raise Problem(
                "answer_too_large",
                f"The answer is longer than the limit of {self._limit:,} bytes: ask for fewer hits "
                "(top_k), fewer fields or fewer queries at a time, or leave out explain and "
                "highlight.",
            )


def _around(frame: Answer, member: str) -> tuple[bytes, bytes]:
    """JSON of ``frame`` before and after the items of its list ``member``, which is empty.

    What stands before must be numbers and the like, so that no text can look like the list.
    """
    empty = f'"{member}":[]'.encode()
    head, _, tail = frame.to_json().partition(empty)
    return head + empty[:-1], b"]" + tail
