"""``indexer adapt``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("index", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--space", help="Space to adapt. Default: the index's default one.")
@click.option(
    "--documents",
    type=click.IntRange(min=100),
    default=4000,
    show_default=True,
    help="Of a sample.",
)
@click.option("--queries", type=click.IntRange(min=50), default=1000, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the halves and the bootstrap.")
@click.option("--dry-run", is_flag=True, help="Leave the index as it is.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def adapt(
    index: Path,
    space: str | None,
    documents: int,
    queries: int,
    seed: int,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit the weights of an index's parts to its corpus, without judgements.

    A sample of the documents is indexed without titles, and each title asks for its document.
    The weights are chosen on one half of the titles and become the index's own if the other half
    does not get worse. No document of the index is encoded again.
    """
    from eval.adaptation import adapt_weights
    from eval.report import tuning_table
    from eval.tune import TuningProtocol, described

    def progress(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    found = adapt_weights(
        index,
        space=space,
        documents=documents,
        queries=queries,
        protocol=TuningProtocol(ignore_identical_ids=False, seed=seed),
        dry_run=dry_run,
        progress=progress,
    )
    tuning = found.tuning
    if as_json:
        click.echo(json.dumps(tuning.as_json() | {"applied": found.applied}, indent=2))
    else:
        click.echo(tuning_table(tuning), nl=False)
    if found.applied:
        outcome = f"the weights are now {described(tuning.chosen)}"
    elif not tuning.is_changed:
        outcome = f"unchanged, no weights were better than {described(tuning.present)}"
    elif dry_run and tuning.is_safe:
        outcome = f"unchanged (dry run); {described(tuning.chosen)} would be better"
    else:
        outcome = f"unchanged, {described(tuning.chosen)} are worse on the half held back"
    click.echo(f"{index}: {outcome}", err=True)
