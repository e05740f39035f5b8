"""Lines that a command reads from a file or from standard input."""

from __future__ import annotations

from typing import TextIO

import click


def read_lines(file: TextIO, option: str) -> list[str]:
    """The lines that are not blank, without their ends.

    Args:
        file: Open for reading as UTF-8.
        option: The option that named it, for the error.

    Raises:
        click.UsageError: The file is not UTF-8 text.
    """
    try:
        return [line.rstrip("\n") for line in file if line.strip()]
    except UnicodeDecodeError as error:
        name = getattr(file, "name", "-")
        raise click.UsageError(f"{option} {name}: not UTF-8 text ({error.reason}).") from None
