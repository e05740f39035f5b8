"""The expression that says of which encoders a space is made.

Grammar::

    expression = part *( "+" part )
    part       = [ weight "*" ] name [ ":" argument ]
    weight     = positive decimal number, 1 when left out
    name       = letter *( letter | digit | "-" | "_" | "." )
    argument   = quoted | bare

White space around every symbol is free, except that in a bare argument a ``+`` separates parts
only when white space stands before and after it, so that paths may hold spaces and plus signs
(``c++ models/v2``). A bare argument that starts with ``~`` is expanded to the home directory. A
quoted argument stands in double or single quotes, is taken as it is, and escapes a quote or a
backslash with a backslash.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from encoders.errors import ExpressionError

EXAMPLE = "english-bm25 + 0.5*splade:DIR"

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_WEIGHT = re.compile(r"([0-9.]+[eE]\+[0-9]+|[^\s*:\"'+]+)\s*\*")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_BARE = re.compile(r"(?!\+(?:\s|\Z))(?:(?!\s+\+(?:\s|\Z)).)+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PartExpression:
    """One part of a space.

    Attributes:
        weight: Factor of the part's scores, finite and > 0.
        name: Name of its encoder in the registry.
        argument: The encoder's argument, e.g. a checkpoint directory; never empty.
        part_name: Name of the part, unique in its space: the encoder's name, with ``-2``,
            ``-3``, ... behind it for the second and third part of one encoder.
    """

    weight: float
    name: str
    argument: str | None = None
    part_name: str = ""

    def __post_init__(self) -> None:
        if not self.part_name:
            object.__setattr__(self, "part_name", self.name)

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f"{self.weight!r}*"
        argument = "" if self.argument is None else f":{_quote(self.argument)}"
        return f"{weight}{self.name}{argument}"


def parse_expression(text: str) -> tuple[PartExpression, ...]:
    """Reads an encoder expression.

    Raises:
        ExpressionError: The text is not an expression; the message names the position.

    >>> [str(part) for part in parse_expression("english-bm25 + 0.5*splade:my model")]
    ['english-bm25', '0.5*splade:my model']
    >>> [part.part_name for part in parse_expression("splade:A + splade:B")]
    ['splade', 'splade-2']
    """
    parts: list[PartExpression] = []
    position = 0
    while True:
        part, position = _part(text, position)
        parts.append(part)
        position = _skip_space(text, position)
        if position == len(text):
            return _with_part_names(parts)
        if text[position] != "+":
            raise _error(text, position, "expected '+' and another part, or the end")
        position += 1


def format_expression(parts: tuple[PartExpression, ...]) -> str:
    """The text that :func:`parse_expression` reads as ``parts``."""
    return " + ".join(map(str, parts))


def _part(text: str, position: int) -> tuple[PartExpression, int]:
    position = _skip_space(text, position)
    weight = 1.0
    if match := _WEIGHT.match(text, position):
        weight = _weight(text, position, match[1])
        position = _skip_space(text, match.end())
    match = _NAME.match(text, position)
    if match is None:
        raise _error(text, position, "expected the name of an encoder")
    name = match[0]
    position = _skip_space(text, match.end())
    if not text.startswith(":", position):
        return PartExpression(weight, name), position
    argument, position = _argument(text, _skip_space(text, position + 1))
    return PartExpression(weight, name, argument), position


def _weight(text: str, position: int, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        raise _error(text, position, f"the weight {number!r} is not a number") from None
    if not (weight > 0 and math.isfinite(weight)):
        raise _error(text, position, f"the weight must be finite and above 0, got {number}")
    return weight


def _argument(text: str, position: int) -> tuple[str, int]:
    if text.startswith(('"', "'"), position):
        match = _QUOTED.match(text, position)
        if match is None:
            raise _error(text, position, "the quote is not closed")
        argument = re.sub(r"\\(.)", r"\1", match[1] or match[2] or "", flags=re.DOTALL)
    else:
        match = _BARE.match(text, position)
        argument = match[0].rstrip() if match else ""
        if argument.startswith("~"):
            argument = _expand_home(text, position, argument)
    if not match or not argument:
        raise _error(text, position, "expected an argument after ':'")
    return argument, match.end()


def _expand_home(text: str, position: int, argument: str) -> str:
    try:
        return str(Path(argument).expanduser())
    except RuntimeError:
        raise _error(text, position, f"no home directory is known for {argument!r}") from None


def _quote(argument: str) -> str:
    bare = _BARE.fullmatch(argument) and argument.strip() == argument
    if bare and not argument.startswith(("~", '"', "'")):
        return argument
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _with_part_names(parts: list[PartExpression]) -> tuple[PartExpression, ...]:
    encoders = {part.name for part in parts}  # an encoder may itself be called splade-2
    taken: set[str] = set()
    named: list[PartExpression] = []
    for part in parts:
        part_name = part.name
        number = 1
        while part_name in taken or (number > 1 and part_name in encoders):
            number += 1
            part_name = f"{part.name}-{number}"
        taken.add(part_name)
        named.append(replace(part, part_name=part_name))
    return tuple(named)


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _error(text: str, position: int, problem: str) -> ExpressionError:
    rest = repr(text[position : position + 20]) if position < len(text) else "the end"
    return ExpressionError(
        f"encoder expression {text!r}: {problem} at position {position + 1}, found {rest}. "
        f"Write it like: {EXAMPLE}"
    )
