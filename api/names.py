"""Names that indexes are served under."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class IndexNameError(ValueError):
    """A name cannot stand in a URL, or is given twice; the message says which."""


def check_names(names: Iterable[str]) -> None:
    """Makes sure that names can stand in a URL.

    Raises:
        IndexNameError: One of them cannot.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise IndexNameError(
                f"{name!r} cannot name an index: use 1 to 64 of A-Z a-z 0-9 . _ - "
                "and start with a letter or digit"
            )


def named_paths(arguments: Sequence[str]) -> dict[str, Path]:
    """Splits ``NAME=PATH`` arguments; a path alone is named after its last part.

    Raises:
        IndexNameError: A name is not usable, or is given twice.

    >>> {name: str(path) for name, path in named_paths(["data/scifact.winnow"]).items()}
    {'scifact': 'data/scifact.winnow'}
    """
    paths: dict[str, Path] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or "/" in name:
            name, path = Path(argument).resolve().stem, argument
        if not path:
            raise IndexNameError(f"{argument!r} names no index directory: write NAME=PATH")
        check_names([name])
        if name in paths:
            raise IndexNameError(
                f"two indexes are named {name!r} ({paths[name]} and {path}): "
                "give each a name of its own with NAME=PATH"
            )
        paths[name] = Path(path)
    return paths
