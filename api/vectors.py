"""Sparse query vectors over the wire: ``{"token": weight}`` or indices with values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from retriever.query import SparseVector

VECTOR_SCHEMA: dict[str, Any] = {
    "title": "Sparse vector",
    "anyOf": [
        {
            "type": "object",
            "description": "Weight of each token.",
            "additionalProperties": {"type": "number"},
            "examples": [{"new": 1.4, "york": 2.1}],
        },
        {
            "type": "object",
            "description": "Dimension numbers of a fixed vocabulary and their weights.",
            "properties": {
                "indices": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0},
                    "uniqueItems": True,
                },
                "values": {"type": "array", "items": {"type": "number"}},
            },
            "required": ["indices", "values"],
            "additionalProperties": False,
        },
    ],
}
"""JSON schema of both forms."""

MAX_DIMENSION = 2**32 - 1
MAX_WEIGHT = 1e9


def parse_vector(value: object, max_terms: int) -> SparseVector:
    """Makes a sparse vector of either form.

    Args:
        value: Parsed JSON.
        max_terms: Most entries.

    Raises:
        PydanticCustomError: The value has neither form, or a weight is not usable.

    >>> parse_vector({"york": 2}, 10).weights
    {'york': 2.0}
    """
    if not isinstance(value, Mapping):
        raise _error('must be {"token": weight, ...} or {"indices": [...], "values": [...]}')
    indices, values = value.get("indices"), value.get("values")
    if set(value) == {"indices", "values"} and isinstance(indices, list):
        return _from_indices(indices, values, max_terms)
    _check_length(len(value), max_terms)
    return SparseVector(
        {token: _weight(weight, f"token {token[:50]!r}") for token, weight in value.items()}
    )


def _from_indices(indices: list[Any], values: object, max_terms: int) -> SparseVector:
    if not isinstance(values, list) or len(values) != len(indices):
        raise _error("indices and values must be lists of the same length")
    _check_length(len(indices), max_terms)
    for index in indices:
        if type(index) is not int or not 0 <= index <= MAX_DIMENSION:
            raise _error(f"indices must be integers from 0 to {MAX_DIMENSION}")
    if len(set(indices)) != len(indices):
        raise _error("indices must not repeat")
    return SparseVector.from_indices(
        indices,
        [
            _weight(weight, f"dimension {index}")
            for index, weight in zip(indices, values, strict=True)
        ],
    )


def _check_length(length: int, max_terms: int) -> None:
    if length > max_terms:
        raise _error(f"must have at most {max_terms} entries, got {length}")


def _weight(weight: object, name: str) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise _error(f"the weight of {name} must be a number")
    if not abs(weight) <= MAX_WEIGHT:  # nor is NaN
        raise _error(f"the weight of {name} must lie between -{MAX_WEIGHT:g} and {MAX_WEIGHT:g}")
    return float(weight)


def _error(message: str) -> PydanticCustomError:
    # Braces of user text would be read as placeholders, so the message travels as a value.
    return PydanticCustomError("sparse_vector", "{message}", {"message": message})
