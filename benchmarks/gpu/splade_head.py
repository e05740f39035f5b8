"""The fused vocabulary head on a GPU: is it right, how fast is it, how much memory does it take.

Checked against float64: weights and gradients for three types, one and two logarithms, ragged
and empty sequences, sizes that are no multiple of a tile; equal bits of two runs; sparse rows
against dense ones. Timed (median of CUDA events, cold L2 cache) and weighed (peak of allocated
memory above the inputs), forward and forward + backward, at B=32, S=256, d=768 with V=30,522 and
V=105,879, full and ragged (16 to 256 tokens): the pooling of sentence-transformers, its better
order with the maximum first, the latter through torch.compile, the bare matrix product, and the
kernel. Last, documents per second of whole encoders with a random DistilBERT, against
sentence-transformers where that is installed. At the end stands a line for each bar that the head
has to reach, with what this run found.

    python -m benchmarks.gpu.splade_head --json head.json
    python -m benchmarks.gpu.splade_head --quick
    python -m benchmarks.gpu.splade_head --tune       # times every shape of tile instead
    python -m benchmarks.gpu.splade_head --interpret  # checks only, on a CPU

Needs torch, triton and numpy; transformers, numba, safetensors and tokenizers for the last part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gpu.head_verdicts import BARS, GRADIENT_BARS, verdicts

ENCODING_NEEDS = ("transformers", "numba", "safetensors", "tokenizers")
"""Packages of the last part, beside torch, triton and numpy."""


def main() -> None:
    """Runs all parts, prints their tables and leaves 1 as exit status if a check failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer cases, shorter timings")
    parser.add_argument("--tune", action="store_true", help="time every shape of tile instead")
    parser.add_argument("--interpret", action="store_true", help="check without a GPU, slowly")
    parser.add_argument("--documents", type=int, default=None, help="documents to encode")
    parser.add_argument("--json", type=Path, default=None, help="file for all figures")
    arguments = parser.parse_args()
    if arguments.interpret:  # Triton reads it while it is imported.
        os.environ["TRITON_INTERPRET"] = "1"
    import torch

    if not arguments.interpret and not torch.cuda.is_available():
        print("no GPU: nothing was run. --interpret checks the kernels on a CPU.")
        show_verdicts({}, "on a GPU")
        return
    result: dict[str, Any] = {"environment": environment()}
    print("  ".join(f"{name} {value}" for name, value in result["environment"].items()))
    for name, run in chosen(arguments).items():
        result[name] = part(name.capitalize(), run)
        if arguments.json is not None:  # After each part: the next may be cut off.
            arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not arguments.tune:
        place = "in Triton's interpreter" if arguments.interpret else "on a GPU"
        show_verdicts(result, place)
    sys.exit(
        any("failed" in outcome for outcome in result.values())
        or not all(row["passed"] for row in result.get("checks", {}).get("rows", []))
    )


def chosen(arguments: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """The parts to run, by name."""
    quick = arguments.quick
    if arguments.tune:
        return {"tiles": lambda: tiles(quick)}
    parts = {"checks": lambda: checks(arguments.interpret, quick)}
    if not arguments.interpret:
        documents = arguments.documents or (512 if quick else 4096)
        parts |= {"head": lambda: timings(quick), "encoding": lambda: encoding(documents)}
    return parts


def environment() -> dict[str, str]:
    """Versions and the GPU."""
    import torch

    found = {"python": platform.python_version()}
    for package in ("torch", "triton", "transformers", "sentence-transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    found["GPU"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    found["CUDA"] = str(torch.version.cuda)
    return found


def part(title: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a part found; a part that breaks does not take the others with it."""
    print(f"\n## {title}\n", flush=True)
    try:
        return run()
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}


def checks(interpreted: bool, quick: bool) -> dict[str, Any]:
    """One row per type and number of logarithms."""
    from benchmarks.gpu.head_checks import check_all

    rows = check_all(interpreted, quick, BARS, GRADIENT_BARS)
    names = ("weights", "torch_weights", "gradients")
    header = ["type", "case", "weights", "of torch", "gradients", "same bits", "sparse rows", ""]
    shown = []
    for row in rows:
        errors = [f"{row[name]:.1e}" for name in names]
        outcome = [row["same_bits"], row["sparse_rows"], "passed" if row["passed"] else "FAILED"]
        shown.append([row["type"], row["case"], *errors, *outcome])
    table(header, shown)
    return {"rows": rows}


def timings(quick: bool) -> dict[str, Any]:
    """One row per way to compute the head, type, vocabulary and kind of batch."""
    from benchmarks.gpu.head_timing import time_all

    rows = []
    for case in time_all(quick):
        rows.extend(case)
        print(f"\n{case[0]['case']}\n")
        header = ["head", "forward ms", "x", "MiB", "forward + backward ms", "x", "MiB"]
        first = case[0]
        table(
            header,
            (
                [row["head"]]
                + [cell for name in ("forward", "both") for cell in figures(row, first, name)]
                for row in case
            ),
        )
    return {"rows": rows}


def figures(row: dict[str, Any], first: dict[str, Any], name: str) -> list[str]:
    """Milliseconds, speed in multiples of the first row, and mebibytes."""
    if row.get(f"{name}_ms") is None:
        return [row.get(f"{name}_note", ""), "", ""]
    time, base = row[f"{name}_ms"], first.get(f"{name}_ms")
    return [f"{time:.3f}", f"{base / time:.2f}" if base else "", f"{row[f'{name}_mib']:.1f}"]


def tiles(quick: bool) -> dict[str, Any]:
    """Milliseconds of the forward pass by shape of tile, type and length."""
    from benchmarks.gpu.head_timing import time_tiles

    rows = time_tiles(quick)
    names = ("tile", "type", "length", "forward_ms", "winners_ms", "teraflops")
    header = ["tile", "type", "length", "forward ms", "with winners ms", "TFLOP/s"]
    table(header, ([row[name] for name in names] for row in rows))
    return {"rows": rows}


def encoding(count: int) -> dict[str, Any]:
    """Documents per second of whole encoders."""
    missing = [name for name in ENCODING_NEEDS if find_spec(name) is None]
    if missing:
        print(f"left out: it needs {', '.join(missing)}, which cannot be imported here")
        return {"left_out": missing}
    from benchmarks.gpu.encoding_speed import compare_encoders

    result = compare_encoders(count)
    table(
        ["float32 products", "Winnow documents/s", "sentence-transformers documents/s", "ratio"],
        (
            [row["products"], f"{row['ours']:.0f}"]
            + ([f"{row['peer']:.0f}", f"{row['ours'] / row['peer']:.2f}"] if row["peer"] else [])
            for row in result["rows"]
        ),
    )
    print(f"\nlargest difference of a weight: {result['largest_difference']}")
    return result


def show_verdicts(result: dict[str, Any], place: str) -> None:
    """A row for each bar; without figures where nothing was measured."""
    print("\n## Bars\n")
    table([f"fused head {place}", "wanted", "found", ""], verdicts(result))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|---|" + "--:|" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
