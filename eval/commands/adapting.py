"""``indexer adapt``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("index", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--space", help="Space to adapt. Default: the index's default one.")
@click.option(
    "--documents",
    type=click.IntRange(min=100),
    help="Of a sample. Default: 4000, with --train 20000.",
)
@click.option("--queries", type=click.IntRange(min=50), default=1000, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the halves and the bootstrap.")
@click.option("--dry-run", is_flag=True, help="Leave the index as it is.")
@click.option(
    "--train",
    "output",
    type=click.Path(path_type=Path),
    help="Train the learned part on the titles; directory of the run. Needs the extra [encode].",
)
@click.option("--steps", type=click.IntRange(min=1), default=400, show_default=True)
@click.option(
    "--teacher",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A sentence-embedding model that teaches as well.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def adapt(
    index: Path,
    space: str | None,
    documents: int | None,
    queries: int,
    seed: int,
    dry_run: bool,
    output: Path | None,
    steps: int,
    teacher: Path | None,
    threads: int,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit the weights of an index's parts to its corpus, without judgements.

    A sample of the documents is indexed without titles, and each title asks for its document.
    The weights are chosen on one half of the titles and become the index's own if the other half
    does not get worse. No document of the index is encoded again.

    With --train DIR the learned part itself is trained on titles and sentences of the sample, and
    kept, as DIR/model, if it is better than the index's own on a tenth of the titles that was
    held back. The index stays as it is; the command that builds a new one is printed.
    """

    def progress(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    if output is not None:
        _train(
            index,
            output,
            as_json,
            space=space,
            dense_teacher=teacher,
            documents=documents or 20_000,
            steps=steps,
            seed=seed,
            threads=threads,
            resume=resume,
            progress=progress,
        )
        return
    from eval.adaptation import adapt_weights
    from eval.report import tuning_table
    from eval.tune import TuningProtocol, described

    found = adapt_weights(
        index,
        space=space,
        documents=documents or 4000,
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


def _train(index: Path, output: Path, as_json: bool, **options: Any) -> None:
    from eval.commands.training import require_training

    require_training()
    from eval.corpus_training import train_on_corpus

    found = train_on_corpus(index, output, **options)
    row = found.held_back
    if as_json:
        model = None if found.model is None else str(found.model)
        figures = {"held_back": row.as_json(), "part_weight": found.part_weight, "model": model}
        counts = {"documents": found.documents, "titles": found.titles}
        click.echo(json.dumps(counts | figures, indent=2))
    else:
        click.echo(
            f"{row.measure} of {row.queries} titles that were held back: {row.mean_b:.4f} with "
            f"the index's own model, {row.mean_a:.4f} with the chosen one at weight "
            f"{found.part_weight:g} ({row.difference:+.4f}, 95% interval {row.low:+.4f} to "
            f"{row.high:+.4f})"
        )
    if found.model is None:
        click.echo("the index's own model is kept: training did not help", err=True)
    else:
        click.echo(
            f"{found.model} is better; build an index with it: indexer build CORPUS --encoder "
            f'"{found.base} + {found.part_weight:g}*splade:{found.model}" '
            f"--vectors {found.vectors}",
            err=True,
        )
