"""``python -m eval compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from eval.compare import Pair


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--qrels",
    "qrels_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judgements for run files; with several collections, one for each in their order.",
)
@click.option(
    "--systems",
    nargs=2,
    metavar="A B",
    help="Two systems of a folder of results, by the headings of their columns.",
)
@click.option(
    "--measure",
    "measure_names",
    multiple=True,
    metavar="NAME",
    help="Such as nDCG@10. Default: nDCG@10 R@100 RR@10 AP, or those in per-query files.",
)
@click.option("--permutations", default=10_000, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=0, show_default=True, help="Of permutations and bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare(
    files: tuple[Path, ...],
    qrels_files: tuple[Path, ...],
    systems: tuple[str, str] | None,
    measure_names: tuple[str, ...],
    permutations: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compare two systems query by query.

    FILES are two run files (with --qrels) or two per-query files: first A's, then B's. For
    several collections give A B A B ... With --systems, FILES is one folder written by
    "run -o".

    The paired t-test and Fisher's paired randomisation test are two-sided; p-values in brackets
    are adjusted for the number of rows by Holm's procedure.
    """
    from eval.compare import compare as compare_pairs
    from eval.measures import parse_measures
    from eval.report import comparison_table

    names = [str(measure) for measure in parse_measures(measure_names)]
    if systems is not None:
        pairs = _pairs_of_folder(files, systems)
        name_a, name_b = systems
    else:
        pairs = _pairs_of_files(files, qrels_files, measure_names)
        name_a = ", ".join(path.name for path in files[0::2])
        name_b = ", ".join(path.name for path in files[1::2])
    rows = compare_pairs(pairs, names or None, permutations, seed)
    if as_json:
        comparisons = [row.as_json() for row in rows]
        click.echo(json.dumps({"a": name_a, "b": name_b, "comparisons": comparisons}, indent=2))
    else:
        click.echo(comparison_table(rows, name_a, name_b), nl=False)


def _pairs_of_folder(files: Sequence[Path], systems: tuple[str, str]) -> list[Pair]:
    from eval.compare import pairs_of_results
    from eval.results import read_results

    if len(files) != 1:
        raise click.UsageError("with --systems give one folder of results.")
    folder = files[0] if files[0].is_dir() else files[0].parent
    return pairs_of_results(read_results(files[0]), folder, *systems)


def _pairs_of_files(
    files: Sequence[Path], qrels_files: Sequence[Path], measure_names: Sequence[str]
) -> list[Pair]:
    from eval.compare import Pair, load_per_query
    from eval.datasets.qrels import read_qrels
    from eval.measures import DEFAULT_MEASURES, parse_measures

    if len(files) % 2 or any(path.is_dir() for path in files):
        raise click.UsageError("give two files, A's and B's, for each collection.")
    count = len(files) // 2
    if qrels_files and len(qrels_files) != count:
        raise click.UsageError(f"give one --qrels for each of the {count} pairs of files.")
    measures = parse_measures(measure_names or DEFAULT_MEASURES)
    pairs = []
    for i in range(count):
        qrels = read_qrels(qrels_files[i]) if qrels_files else None
        a, b = files[2 * i], files[2 * i + 1]
        pairs.append(
            Pair(
                _collection_name(a, b) or f"collection {i + 1}",
                load_per_query(a, qrels, measures),
                load_per_query(b, qrels, measures),
            )
        )
    return pairs


def _collection_name(a: Path, b: Path) -> str:
    """What both names begin with, in the form ``<collection>.<system>.run.gz``."""
    first, second = a.name.split(".")[0], b.name.split(".")[0]
    return first if first == second else ""
