"""``indexer adapt``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from eval.corpus_training import CorpusTraining


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
@click.option(
    "--query-log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --train: queries, one a line, that teach as well.",
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
    query_log: Path | None,
    threads: int,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit the weights of an index's parts to its corpus, without judgements.

    A sample of the documents is indexed without titles, and each title asks for its document; a
    heading does where a document has no title. The weights are chosen on one half of the titles
    and become the index's own if they are better on the other half. No document of the index is
    encoded again.

    With --train DIR the learned part itself is trained on titles and sentences of the sample, and
    kept, as DIR/model, if it is better than the index's own on those of a tenth of the documents
    that was held back. A --query-log teaches as well, and decides nothing. The index stays as it
    is; the command that builds a new one is printed. --resume goes on with a run that was killed.
    """
    if query_log is not None and output is None:
        raise click.UsageError(
            "--query-log needs --train DIR: its queries teach a model. Weights are chosen by "
            "titles, since nobody knows what the queries of a log should find."
        )

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
            query_log=query_log,
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
        counts = {"titles": found.titles, "headings": found.headings}
        click.echo(
            json.dumps(tuning.as_json() | {"applied": found.applied, "queries": counts}, indent=2)
        )
    else:
        click.echo(tuning_table(tuning), nl=False)
    if found.applied:
        outcome = f"the weights are now {described(tuning.chosen)}"
    elif not tuning.is_changed:
        outcome = f"unchanged, no weights were better than {described(tuning.present)}"
    elif found.is_better:
        outcome = f"unchanged (dry run); {described(tuning.chosen)} would be better"
    else:
        outcome = (
            f"unchanged, {described(tuning.chosen)} are not better on the half held back, or may "
            "well be worse"
        )
    asked = f"{found.titles} titles and {found.headings} headings asked"
    click.echo(f"{index}: {asked}; {outcome}", err=True)


def _train(index: Path, output: Path, as_json: bool, **options: Any) -> None:
    from eval.commands.training import require_training

    require_training()
    from eval.corpus_training import train_on_corpus

    found = train_on_corpus(index, output, **options)
    verdict = found.held_back
    if as_json:
        answer = {
            "documents": found.documents,
            "taught": found.taught,
            "held_back": None if verdict is None else verdict.as_json(),
            "part_weight": found.part_weight,
            "model": None if found.model is None else str(found.model),
        }
        click.echo(json.dumps(answer, indent=2))
    elif verdict is not None:
        rows = {row.collection: row for row in verdict.kinds}
        rows[" and ".join(rows)] = verdict.together  # of one kind this is the same
        for what, row in rows.items():
            click.echo(
                f"{row.measure} of {row.queries} {what} that were held back: {row.mean_b:.4f} with "
                f"the index's own model, {row.mean_a:.4f} with the trained one at weight "
                f"{found.part_weight:g} ({row.difference:+.4f}, 95% interval {row.low:+.4f} to "
                f"{row.high:+.4f})"
            )
    counts = ", ".join(f"{count} of {origin}" for origin, count in found.taught.items() if count)
    click.echo(f"queries that taught: {counts}", err=True)
    if found.model is not None:
        _tell_how_to_use(found)
    elif verdict is None:
        click.echo(
            "the index's own model is kept: no trained weights were better than it on the titles "
            "and sentences that choose",
            err=True,
        )
    else:
        click.echo(
            "the index's own model is kept: the trained one is not better, or may well be worse",
            err=True,
        )


def _tell_how_to_use(found: CorpusTraining) -> None:
    vectors = shlex.quote(found.vectors)
    click.echo(
        f"{found.model} is better; build an index with it: indexer build CORPUS --encoder "
        f'"{found.base} + {found.part_weight:g}*splade:{found.model}" --vectors {vectors}',
        err=True,
    )
    if found.rerank is not None:
        click.echo(
            f"and give its vectors the weight that they have now: indexer configure INDEX --rerank "
            f"{found.rerank:g}",
            err=True,
        )
