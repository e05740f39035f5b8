"""What every benchmark prints and keeps: a Markdown table, and JSON with how it was made."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_and_versions

ROOT = Path(__file__).parents[1]

# A path from the root, alone or behind a name: ``--checkpoint name=/folder``, ``minilm:/folder``.
_ABSOLUTE = re.compile(r"(?:(?<=[=:])|^)/(?!/).*")


def commit(root: Path) -> str | None:
    """The commit of a clone, with ``+changes`` if its files differ; ``None`` outside a clone.

    Results do not count as changes: the commands of a series write one after the other.
    """
    if not (root / ".git").exists():  # else git would name the repository around it
        return None
    try:
        name = _git(root, "rev-parse", "--short", "HEAD")
        changes = _git(root, "status", "--porcelain", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}+changes" if changes else name


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


COMMIT = commit(ROOT)
"""Asked for at the start: what is committed during a long run is not what it measured."""


def _last_name(path: re.Match[str]) -> str:
    return Path(path.group()).name


def provenance() -> dict[str, Any]:
    """Date, commit, machine, versions, command; paths in this are cut to their last name."""
    arguments = [_ABSOLUTE.sub(_last_name, argument) for argument in sys.argv]
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    module = specification.name if specification else Path(arguments[0]).stem
    return {
        "command": " ".join(["python -m", module.removesuffix(".__main__"), *arguments[1:]]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **({"commit": COMMIT} if COMMIT else {}),
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
