"""Encoders by name: the built-in ones and those of installed plug-ins.

A plug-in is a distribution with an entry point in the group ``winnow.encoders`` that names a
function ``create(name, argument, **options) -> DocumentEncoder``. Nothing is imported before it
is asked for by name.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from encoders.base import DocumentEncoder
from encoders.errors import EncoderError, UnknownEncoderError

ENTRY_POINT_GROUP = "winnow.encoders"

# Also in pyproject.toml; repeated here so that a checkout that was never installed works.
BUILT_IN_ENCODERS: dict[str, str] = {
    "bm25": "encoders.bm25:create",
    "english-bm25": "encoders.bm25:create",
    "english-all-words-bm25": "encoders.bm25:create",
    "english-bigrams-bm25": "encoders.bm25:create",
    "plain-bm25": "encoders.bm25:create",
    "wordpiece-bm25": "encoders.bm25:create",
    "sae": "encoders.sae:create",
    "splade": "encoders.splade:create",
    "splade-onnx": "encoders.onnx:create",
}


def encoder_names() -> list[str]:
    """Names that :func:`create_encoder` knows, sorted.

    >>> "english-bm25" in encoder_names()
    True
    """
    return sorted({*BUILT_IN_ENCODERS, *entry_points(group=ENTRY_POINT_GROUP).names})


def create_encoder(name: str, argument: str | None = None, **options: Any) -> DocumentEncoder:
    """Makes the encoder of a name.

    Args:
        name: A built-in name or that of a plug-in; the built-in one wins.
        argument: What follows the colon in an expression, e.g. the checkpoint's directory.
        **options: Settings by name, for callers that have them as values.

    Raises:
        UnknownEncoderError: Nothing is registered under ``name``.
        EncoderError: The encoder's package cannot be imported, or refuses its settings.

    >>> create_encoder("english-bm25", "k1=1.2").spec.parameters["k1"]
    1.2
    """
    create = _load(name)
    encoder = create(name, argument, **options)
    if not isinstance(encoder, DocumentEncoder):
        raise EncoderError(
            f"the plug-in of encoder {name!r} returned a {type(encoder).__name__}, which is not a "
            "DocumentEncoder (spec, count_tokens, encode_documents, query_side); upgrade or "
            "remove the plug-in."
        )
    return encoder


def _load(name: str) -> Callable[..., Any]:
    target = BUILT_IN_ENCODERS.get(name)
    if target is not None:
        point = EntryPoint(name, target, ENTRY_POINT_GROUP)
    else:
        found = entry_points(group=ENTRY_POINT_GROUP, name=name)
        if not found:
            raise _unknown(name)
        point = next(iter(found))
    try:
        import_module(point.module)
    except ImportError as error:
        raise _not_importable(name, error) from error
    try:
        create: Callable[..., Any] = point.load()
    except AttributeError as error:
        raise EncoderError(
            f"encoder {name!r}: {point.value} does not exist; upgrade or remove its package."
        ) from error
    return create


def _unknown(name: str) -> UnknownEncoderError:
    names = encoder_names()
    nearest = difflib.get_close_matches(name, names, n=1)
    suggestion = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return UnknownEncoderError(
        f"there is no encoder {name!r}.{suggestion} Known encoders: {', '.join(names)}."
    )


def _not_importable(name: str, error: ImportError) -> EncoderError:
    if name in BUILT_IN_ENCODERS:
        remedy = "install it with: pip install 'winnow-search[encode]'"
    else:
        remedy = "install what the plug-in needs, or remove the plug-in"
    missing = f"the package {error.name!r}" if error.name else str(error)
    return EncoderError(f"encoder {name!r} needs {missing}, which cannot be imported; {remedy}.")
