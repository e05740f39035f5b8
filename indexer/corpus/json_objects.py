"""One JSON object from bytes: decoded strictly where it matters, leniently where it helps."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from indexer.corpus.lines import encoding_detail, excerpt, not_utf8
from indexer.corpus.records import RawRecord, Reject, RejectReason


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; write null")


# strict=False keeps raw control characters within strings.
_decode = json.JSONDecoder(parse_constant=_reject_constant, strict=False).decode

_KINDS = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean"}


def parse_object(raw: bytes, file: str, line: int) -> RawRecord | Reject:
    """The record in these bytes, or why there is none.

    >>> parse_object(b'{"_id": "1"}', "a.jsonl", 1).fields
    {'_id': '1'}
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return not_utf8(file, line, error, raw)
    try:
        value: Any = _decode(text)
        # Only escapes can bring in surrogates, since the bytes are UTF-8.
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        detail = encoding_detail(error)
        return Reject(file, line, RejectReason.ENCODING, detail, excerpt=excerpt(raw))
    except RecursionError:
        return _unparsable(file, line, "nested too deeply", raw)
    except ValueError as error:
        return _unparsable(file, line, f"not JSON: {error}", raw)
    if type(value) is not dict:
        kind = "null" if value is None else _KINDS[type(value)]
        return _unparsable(file, line, f"{kind}, not a JSON object", raw)
    return RawRecord(file, line, value)


def _unparsable(file: str, line: int, detail: str, raw: bytes) -> Reject:
    return Reject(file, line, RejectReason.UNPARSABLE, detail, excerpt=excerpt(raw))
