"""Settings of a SPLADE part, as they stand behind the checkpoint's directory."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from encoders.base import Aggregation
from encoders.checkpoint import Activation
from encoders.errors import EncoderError
from encoders.pruning import Pruning
from encoders.shipped import SHIPPED_MODEL

EXAMPLE = "splade:DIR?max_length=256&prune=max_ratio:0.1"

QueryTableChoice = Literal["auto", "published", "corpus", "content"]


@dataclass(frozen=True, slots=True)
class SpladeOptions:
    """What a user may set; ``None`` leaves the choice to the checkpoint.

    Attributes:
        max_length: Most tokens read of a text, special tokens included.
        prune: Which small weights are dropped.
        activation: ``relu`` (one logarithm) or ``log1p_relu`` (two).
        zero_special_tokens: Drop the dimensions of special tokens, which no query has, and give
            a text without any token an empty row. sentence-transformers keeps both.
        query_table: ``published`` insists on the checkpoint's table, ``corpus`` leaves the query
            weights to the idf of the indexed collection, ``content`` does so but gives English
            stop words and punctuation none, ``auto`` takes what the checkpoint has.
        aggregation: ``binary`` counts a repeated query token once, as the checkpoints of SPLADE and
            OpenSearch are trained; ``sum`` counts each, as those with a learned table of Li-LSR
            (arXiv 2505.01452) are. ``binary`` where the checkpoint records nothing.
        neural_queries: Let ``SpladeEncoder.encode_queries`` run the checkpoint's network. An index
            asks its table all the same.
        device: A torch device; CUDA if there is a GPU, else the CPU.
        batch_tokens: Tokens of a batch, padding included; 512 on a CPU, 65,536 on a GPU.
    """

    max_length: int | None = None
    prune: Pruning | None = None
    activation: Activation | None = None
    zero_special_tokens: bool = True
    query_table: QueryTableChoice = "auto"
    aggregation: Aggregation | None = None
    neural_queries: bool = False
    device: str | None = None
    batch_tokens: int | None = None


def split_argument(argument: str | None) -> tuple[Path, dict[str, str]]:
    """Directory and settings of an argument ``DIR?key=value&key=value``.

    The last ``?`` separates, except where the whole argument is the name of a directory. Without
    a directory it is that of the model that comes with Winnow.

    Raises:
        EncoderError: A setting is not ``key=value``.

    >>> split_argument("models/doc-v3?max_length=256")[1]
    {'max_length': '256'}
    """
    text = (argument or "").strip()
    directory, mark, query = text.rpartition("?")
    if not mark or Path(text).is_dir():
        directory, query = text, ""
    settings: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals or not value:
            raise EncoderError(f"splade cannot read the setting {item!r}; write it like {EXAMPLE}.")
        if key in settings:
            raise EncoderError(f"splade got the setting {key!r} twice; give it once.")
        settings[key] = value
    return Path(directory) if directory else SHIPPED_MODEL, settings


def read_options(settings: Mapping[str, Any]) -> SpladeOptions:
    """Options from settings by name; texts are read, ready values are taken as they are.

    Raises:
        EncoderError: A setting is unknown or its value out of range.

    >>> read_options({"prune": "top_k:200", "zero_special_tokens": "no"}).prune
    Pruning(kind='top_k', value=200.0)
    """
    known = [field.name for field in dataclasses.fields(SpladeOptions)]
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise EncoderError(f"splade has no setting {key!r}.{hint} It knows {', '.join(known)}.")
        if value is not None:
            values[key] = _READERS[key](key, value)
    return SpladeOptions(**values)


def _count(key: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1 or (isinstance(value, float) and value != number):
        raise EncoderError(f"splade: {key} must be a whole number from 1, got {value!r}.")
    return number


def _switch(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word not in ("true", "yes", "1", "false", "no", "0"):
        raise EncoderError(f"splade: {key} must be 'true' or 'false', got {value!r}.")
    return word in ("true", "yes", "1")


def _one_of(*choices: str) -> Callable[[str, Any], str]:
    def read(key: str, value: Any) -> str:
        if value not in choices:
            raise EncoderError(f"splade: {key} must be one of {', '.join(choices)}, got {value!r}.")
        return str(value)

    return read


def _pruning(_: str, value: Any) -> Pruning:
    return value if isinstance(value, Pruning) else Pruning.parse(str(value))


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "max_length": _count,
    "prune": _pruning,
    "activation": _one_of("relu", "log1p_relu"),
    "zero_special_tokens": _switch,
    "query_table": _one_of("auto", "published", "corpus", "content"),
    "aggregation": _one_of("binary", "sum"),
    "neural_queries": _switch,
    "device": lambda _, value: str(value),
    "batch_tokens": _count,
}
