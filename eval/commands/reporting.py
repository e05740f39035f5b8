"""``python -m eval report``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def report(files: tuple[Path, ...], as_json: bool) -> None:
    """Print the tables of results that "run -o" wrote.

    FILES are folders of results or their results.json. Several become one table, if they were
    made under the same protocol, by the same versions, on the same machine.
    """
    from eval.report import merge_results, results_table
    from eval.results import read_results

    results = merge_results([read_results(path) for path in files])
    click.echo(results.model_dump_json(indent=2) if as_json else results_table(results), nl=as_json)
