"""Types of metadata fields: inferred from a sample, then held to, converting without loss."""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from encoders.base import MetadataValue
from indexer.corpus.records import FieldType

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,18})", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_BOOLEANS = {"true": True, "false": False}


class FieldTypeError(ValueError):
    """A value does not fit the type of its field."""


def infer_types(sample: Iterable[Mapping[str, Any]], *, parse_text: bool) -> dict[str, FieldType]:
    """The narrowest type that holds all values of each field; fields without values have none.

    Args:
        sample: Flat metadata.
        parse_text: Strings may be numbers and truth values (CSV), not only dates.

    >>> infer_types([{"year": 1999, "tags": ["a"]}, {"year": 2.5}], parse_text=False)
    {'year': <FieldType.FLOAT: 'float'>, 'tags': <FieldType.KEYWORDS: 'keywords'>}
    """
    types: dict[str, FieldType] = {}
    empty: dict[str, None] = {}
    for fields in sample:
        for name, value in fields.items():
            if value is None:
                continue
            if value == "":
                empty[name] = None
                continue
            found = _type_of(value, parse_text)
            known = types.get(name, found)
            types[name] = found if known == found else _wider(known, found)
    return types | {name: FieldType.KEYWORD for name in empty if name not in types}


def _wider(one: FieldType, other: FieldType) -> FieldType:
    pair = {one, other}
    if FieldType.KEYWORDS in pair:
        return FieldType.KEYWORDS
    return FieldType.FLOAT if pair == {FieldType.INTEGER, FieldType.FLOAT} else FieldType.KEYWORD


def _type_of(value: Any, parse_text: bool) -> FieldType:
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    if isinstance(value, int):
        return FieldType.INTEGER if -(2**63) <= value < 2**63 else FieldType.KEYWORD
    if isinstance(value, (float, decimal.Decimal)):
        return FieldType.FLOAT
    if isinstance(value, datetime.date):
        return FieldType.DATE
    if isinstance(value, (list, tuple)):
        return FieldType.KEYWORDS
    return _type_of_text(value, parse_text) if isinstance(value, str) else FieldType.KEYWORD


def _type_of_text(value: str, parse_text: bool) -> FieldType:
    kinds = [FieldType.DATE] if _DATE.fullmatch(value) else []
    if parse_text:
        if value.lower() in _BOOLEANS:
            kinds = [FieldType.BOOLEAN]
        elif _INTEGER.fullmatch(value):
            kinds = [FieldType.INTEGER]
        elif _FLOAT.fullmatch(value):
            kinds = [FieldType.FLOAT]
    for kind in kinds:
        try:
            convert(value, kind)
        except FieldTypeError:
            break
        return kind
    return FieldType.KEYWORD


def convert(value: Any, kind: FieldType) -> MetadataValue | None:
    """The value as its field's type, ``None`` where an empty string means no value.

    Raises:
        FieldTypeError: It cannot be converted without loss.

    >>> convert("1999-12-31T23:00:00-01:00", FieldType.DATE)
    datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if value == "" and kind is not FieldType.KEYWORD:
        return None
    if isinstance(value, (float, decimal.Decimal)) and not math.isfinite(value):
        raise FieldTypeError(f"{value} is not a number that can be stored")
    try:
        return _CONVERTERS[kind](value)
    except (ValueError, OverflowError, TypeError):
        raise FieldTypeError(
            f"expected {kind}, got {type(value).__name__} {_shown(value)}"
        ) from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _keyword(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, decimal.Decimal)):
        return str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise ValueError


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise ValueError
    elif not isinstance(value, (int, float, decimal.Decimal)) or value != int(value):
        raise ValueError
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal, str)):
        raise ValueError
    if isinstance(value, str) and not _FLOAT.fullmatch(value):
        raise ValueError
    number = float(value)
    if not math.isfinite(number) or (isinstance(value, int) and number != value):
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    raise ValueError


def _date(value: Any) -> datetime.datetime:
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.strip())
    if not isinstance(value, datetime.datetime):
        if not isinstance(value, datetime.date):
            raise ValueError
        value = datetime.datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        return value.replace(tzinfo=datetime.UTC)
    return value.astimezone(datetime.UTC)


def _keywords(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, (list, tuple)) else [value]
    return tuple(_keyword(part) for part in parts if part is not None)


_CONVERTERS: Mapping[FieldType, Any] = {
    FieldType.KEYWORD: _keyword,
    FieldType.INTEGER: _integer,
    FieldType.FLOAT: _float,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.KEYWORDS: _keywords,
}
