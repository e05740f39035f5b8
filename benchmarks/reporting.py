"""What every benchmark prints and keeps: a Markdown table, and JSON with how it was made."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_and_versions


def provenance() -> dict[str, Any]:
    """Date, machine, versions and command; paths in the command are cut to their last name."""
    arguments = [Path(a).name if Path(a).is_absolute() else a for a in sys.argv]
    script = Path(arguments[0]).stem
    return {
        "command": " ".join(["python -m", f"benchmarks.{script}", *arguments[1:]]),
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
