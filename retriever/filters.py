"""Filters over metadata: JSON conditions, evaluated by Arrow over a segment's columns.

Language: ``{"all": [...]}``, ``{"any": [...]}``, ``{"not": ...}``, or a condition
``{"field": NAME, OPERATOR: VALUE, ...}`` with operators ``eq``, ``in``, ``gt``, ``gte``, ``lt``,
``lte``, ``exists``. Operators of one condition all have to hold. A document without the field
satisfies only ``{"exists": false}``. On keyword lists ``eq`` and ``in`` look at the elements.
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from indexer.errors import IndexCorruptError
from indexer.format.documents import ARROW_TYPES
from retriever.errors import FilterError

MAX_DEPTH = 32

MAX_CONDITIONS = 1000
"""Each is a pass over a column; many values of one field are one condition, with 'in'."""

_COMPARE: dict[str, Callable] = {
    "eq": pc.equal,
    "gt": pc.greater,
    "gte": pc.greater_equal,
    "lt": pc.less,
    "lte": pc.less_equal,
}
_OPERATORS = (*_COMPARE, "in", "exists")
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "keyword": (str,),
    "keywords": (str,),
    "integer": (int,),
    "float": (int, float),
    "boolean": (bool,),
    "date": (str, datetime.datetime),
}


def document_mask(
    condition: Mapping[str, Any], columns: pa.Table, fields: Mapping[str, str], documents: int
) -> NDArray[np.uint8]:
    """Which documents of a segment satisfy a filter.

    Args:
        condition: The filter.
        columns: The segment's metadata; a field that no document of it has may be missing.
        fields: Type names of the index's fields.
        documents: Number of documents of the segment.

    Returns:
        uint8[documents], 1 where the filter holds.

    Raises:
        FilterError: The filter is malformed, or names an unknown field or a wrong type.
    """
    if _count_conditions(condition) > MAX_CONDITIONS:
        raise FilterError(
            f"the filter has more than {MAX_CONDITIONS:,} conditions; join those of one field: "
            "{'field': NAME, 'in': [...]}."
        )
    return _evaluate(condition, columns, fields, documents, 0).astype(np.uint8)


def _count_conditions(condition: Any) -> int:
    """How many conditions are joined; counting ends soon after the limit."""
    waiting, count = [condition], 0
    while waiting and count <= MAX_CONDITIONS:
        found = waiting.pop()
        count += 1
        if isinstance(found, Mapping):
            for name in ("all", "any"):
                members = found.get(name)
                waiting += members if isinstance(members, list | tuple) else ()
            if "not" in found:
                waiting.append(found["not"])
    return count


def _evaluate(
    condition: Any, columns: pa.Table, fields: Mapping[str, str], documents: int, depth: int
) -> NDArray[np.bool_]:
    if depth > MAX_DEPTH:
        raise FilterError(f"the filter is nested more than {MAX_DEPTH} deep; flatten it.")
    if not isinstance(condition, Mapping):
        raise FilterError(
            "a filter is an object such as {'field': 'year', 'gte': 2000}, got "
            f"{condition!r:.80}."
        )
    keys = set(condition)
    if keys in ({"all"}, {"any"}):
        (name,) = keys
        members = condition[name]
        if not isinstance(members, list | tuple):
            raise FilterError(f"'{name}' takes a list of filters, got {members!r:.80}.")
        masks = [_evaluate(m, columns, fields, documents, depth + 1) for m in members]
        combine = operator.and_ if name == "all" else operator.or_
        return reduce(combine, masks, np.full(documents, name == "all"))
    if keys == {"not"}:
        return ~_evaluate(condition["not"], columns, fields, documents, depth + 1)
    if "field" not in keys:
        raise FilterError(
            "a filter has one of the keys 'all', 'any', 'not' or 'field', got "
            f"{sorted(map(str, keys))!r:.80}."
        )
    return _condition(condition, columns, fields, documents)


def _condition(
    condition: Mapping[str, Any], columns: pa.Table, fields: Mapping[str, str], documents: int
) -> NDArray[np.bool_]:
    name = condition["field"]
    operators = {key: value for key, value in condition.items() if key != "field"}
    if not isinstance(name, str) or name not in fields:
        known = ", ".join(map(repr, sorted(fields))) or "no metadata fields"
        raise FilterError(f"unknown field {name!r:.80}; the index has {known}.")
    unknown = sorted(str(key) for key in set(operators) - set(_OPERATORS))
    if unknown or not operators:
        raise FilterError(
            f"a condition on {name!r} needs operators among {', '.join(_OPERATORS)}, got "
            f"{unknown!r:.80}."
        )
    kind = fields[name]
    if name in columns.column_names:
        column = columns.column(name).combine_chunks()
        if column.type != ARROW_TYPES[kind]:
            raise IndexCorruptError("columns.arrow", f"field {name!r} is not of type {kind}")
    else:
        column = pa.nulls(documents, ARROW_TYPES[kind])
    result = np.ones(documents, dtype=bool)
    for key, value in operators.items():
        result &= _apply(key, value, column, name, kind)
    return result


def _apply(key: str, value: Any, column: pa.Array, name: str, kind: str) -> NDArray[np.bool_]:
    if key == "exists":
        if not isinstance(value, bool):
            raise FilterError(f"'exists' on {name!r} takes true or false, got {value!r:.80}.")
        return _mask(pc.is_valid(column) if value else pc.is_null(column))
    if key == "in":
        if not isinstance(value, list | tuple):
            raise FilterError(f"'in' on {name!r} takes a list, got {value!r:.80}.")
        values = [_typed(item, name, kind) for item in value]
    else:
        values = [_typed(value, name, kind)]
    if kind == "keywords":
        if key not in ("eq", "in"):
            raise FilterError(f"{name!r} holds lists of keywords: use 'eq' or 'in', got {key!r}.")
        return _any_element(column, values)
    if key == "in":
        return _mask(pc.is_in(column, value_set=pa.array(values, type=column.type)))
    if kind == "boolean" and key != "eq":
        raise FilterError(f"{name!r} is boolean: use 'eq' or 'in', got {key!r}.")
    return _mask(_COMPARE[key](column, pa.scalar(values[0], type=column.type)))


def _any_element(column: pa.Array, values: list[Any]) -> NDArray[np.bool_]:
    elements = column.flatten()
    hits = _mask(pc.is_in(elements, value_set=pa.array(values, type=elements.type)))
    parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    result = np.zeros(len(column), dtype=bool)
    result[parents[hits]] = True
    return result


def _typed(value: Any, name: str, kind: str) -> Any:
    accepted = isinstance(value, _PYTHON_TYPES[kind])
    if isinstance(value, bool) and kind != "boolean":
        accepted = False
    if kind == "integer" and isinstance(value, int) and not -(2**63) <= value < 2**63:
        accepted = False
    if not accepted:
        raise FilterError(f"field {name!r} is of type {kind}, got the value {value!r:.80}.")
    if kind == "float":
        try:
            return float(value)
        except OverflowError:
            raise FilterError(f"field {name!r}: {value!r:.80} is too large for a float.") from None
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FilterError(
                f"field {name!r}: the value {value!r:.80} holds half of a surrogate pair, which no "
                "document's value does."
            ) from None
    if kind == "date" and isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise FilterError(
                f"field {name!r} is a date: give ISO 8601 such as '2024-05-31', got {value!r:.80}."
            ) from None
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    return value


def _mask(array: pa.Array) -> NDArray[np.bool_]:
    return pc.fill_null(array, False).to_numpy(zero_copy_only=False).astype(bool)
