"""Which bars of the fused head the figures of one run meet, for the benchmark of the head."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

EAGER = "eager (sentence-transformers)"
COMPILED = "torch.compile, maximum first"
FUSED = "fused"
VOCABULARY = 30522

BARS = {"float32": 1e-5, "bfloat16": 1e-3, "float16": 1e-3}
"""Largest error of a weight, relative to its document's largest, by type of the inputs."""

GRADIENT_BARS = {"float32": 1e-5, "bfloat16": 4e-3, "float16": 5e-4}
"""The same of a gradient, which is rounded to the type of the inputs."""

FASTER_THAN_EAGER = 4.0
LESS_MEMORY_THAN_EAGER = 10.0
FASTER_THAN_COMPILED = 1.3
FASTER_THAN_PEER = 2.0

Row = tuple[str, str, str, str]


def verdicts(result: Mapping[str, Any]) -> list[Row]:
    """Bar, what is wanted, what was found, and ``met``, ``MISSED`` or ``not measured``.

    Args:
        result: What the parts ``checks``, ``head`` and ``encoding`` of the benchmark gave; those
            that did not run may be missing. Heads are compared at B=32, S=256 without padding.
    """
    checks = result.get("checks", {}).get("rows", [])
    heads = [
        row
        for row in result.get("head", {}).get("rows", [])
        if row["vocabulary"] == VOCABULARY and row["kind"] == "full"
    ]
    encoding = result.get("encoding", {}).get("rows", [])
    return [*_errors(checks), *_heads(heads), _encoding(encoding)]


def _errors(rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for key, title, bars in (
        ("weights", "error of a weight", BARS),
        ("gradients", "error of a gradient, against autograd in float64", GRADIENT_BARS),
    ):
        for name, bar in bars.items():
            found = [row[key] for row in rows if row["type"] == name]
            worst = max(found, key=_nan_last, default=0.0)
            shown = f"{worst:.1e}" if found else ""
            # Not "above the bar": NaN must miss it.
            yield f"{title}, {name}", f"<= {bar:.0e}", shown, _verdict(bool(found), worst <= bar)


def _heads(rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    by_head = {(row["type"], row["head"]): row for row in rows}
    types = list(dict.fromkeys(row["type"] for row in rows)) or [""]
    for title, other, unit, bar in (
        ("times as fast as eager", EAGER, "ms", FASTER_THAN_EAGER),
        ("times less extra memory than eager", EAGER, "mib", LESS_MEMORY_THAN_EAGER),
        ("times as fast as torch.compile", COMPILED, "ms", FASTER_THAN_COMPILED),
    ):
        for name in types:
            ours, theirs = by_head.get((name, FUSED), {}), by_head.get((name, other), {})
            ratios = {
                which: theirs[f"{key}_{unit}"] / ours[f"{key}_{unit}"]
                for key, which in (("forward", "forward"), ("both", "forward + backward"))
                if theirs.get(f"{key}_{unit}") and ours.get(f"{key}_{unit}")
            }
            yield (
                f"{title}, {name}" if name else title,
                f">= {bar:g}",
                ", ".join(f"{ratio:.2f} {which}" for which, ratio in ratios.items()),
                _verdict(len(ratios) == 2, all(ratio >= bar for ratio in ratios.values())),
            )


def _encoding(rows: Sequence[Mapping[str, Any]]) -> Row:
    ratios = [row["ours"] / row["peer"] for row in rows if row.get("peer")]
    shown = ", ".join(
        f"{row['ours'] / row['peer']:.2f} with {row['products']} products"
        for row in rows
        if row.get("peer")
    )
    met = all(ratio >= FASTER_THAN_PEER for ratio in ratios)
    wanted = f">= {FASTER_THAN_PEER:g}"
    title = "documents/s, times those of sentence-transformers"
    return title, wanted, shown, _verdict(bool(ratios), met)


def _verdict(measured: bool, met: bool) -> str:
    if not measured:
        return "not measured"
    return "met" if met else "MISSED"


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value
