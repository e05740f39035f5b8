"""What every benchmark prints and keeps: a Markdown table, and JSON with how it was made."""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_and_versions

# A path from the root, alone or after an ``=`` as in ``--checkpoint name=/folder``.
_ABSOLUTE = re.compile(r"(?:(?<==)|^)/.*")


def _last_name(path: re.Match[str]) -> str:
    return Path(path.group()).name


def provenance() -> dict[str, Any]:
    """Date, machine, versions and command; paths in the command are cut to their last name."""
    arguments = [_ABSOLUTE.sub(_last_name, argument) for argument in sys.argv]
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    module = specification.name if specification else Path(arguments[0]).stem
    return {
        "command": " ".join(["python -m", module.removesuffix(".__main__"), *arguments[1:]]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine_and_versions(),
    }


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are numbers.

    >>> print(markdown_table(["a", "b"], [["x", 1]]))
    | a | b |
    |---|--:|
    | x | 1 |
    """
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    rule = "|" + "|".join(map(str, lines[1])) + "|"
    shown = ["| " + " | ".join(map(str, line)) + " |" for line in lines]
    return "\n".join([shown[0], rule, *shown[2:]])


def write_result(path: Path | None, result: dict[str, Any]) -> None:
    """Writes a result with its provenance as JSON, if a path was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**provenance(), **result}, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
