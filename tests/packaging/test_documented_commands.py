"""Commands shown in the documentation exist, with the options shown."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"][
    "winnow.commands"
]
TEXTS = [ROOT / "Makefile", *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def shown_commands(text: str) -> Iterator[list[str]]:
    """Command lines of fenced blocks (of recipes, in a Makefile), cut into words."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL) or [text]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if re.match(r"[$\s]*(\S*bin/)?(indexer|make|python -m indexer) ", line):
            command = re.sub(r"^[$\s]*(\S*/)?", "", line).removeprefix("python -m ")
            yield shlex.split(re.split(r"\s[|>]|&&|;", command)[0], comments=True)


def shown(program: str) -> list[tuple[str, list[str]]]:
    commands = [
        (path.name, command)
        for path in TEXTS
        for command in shown_commands(path.read_text("utf-8"))
        if command[0] == program and len(command) > 1
    ]
    assert commands
    return commands


def test_shown_make_targets_exist() -> None:
    words = [(name, word) for name, (_, *words) in shown("make") for word in words]
    targets = [(name, word) for name, word in words if "=" not in word and word[0] != "-"]
    assert [(name, word) for name, word in targets if word not in TARGETS] == []


@pytest.mark.parametrize(
    ("file", "command"), shown("indexer"), ids=lambda v: v if isinstance(v, str) else " ".join(v)
)
def test_shown_indexer_command_exists(file: str, command: list[str]) -> None:
    _, name, *arguments = command
    if name.startswith("-"):
        return
    assert name in COMMANDS, f"{file}: {' '.join(command)}"
    module, _, attribute = COMMANDS[name].partition(":")
    click_command = getattr(importlib.import_module(module), attribute)
    assert isinstance(click_command, click.Command)
    known = {
        flag for option in click_command.params for flag in (*option.opts, *option.secondary_opts)
    }
    flags = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
    assert flags <= known | {"--help"}, f"{file}: {' '.join(command)}"
