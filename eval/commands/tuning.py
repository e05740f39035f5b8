"""``python -m eval tune``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernels.cpu.processors import usable_cpus

if TYPE_CHECKING:
    from eval.tune import Tuning


@click.command()
@click.argument("index", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--data",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The index's collection in BEIR layout: queries and judgements are read.",
)
@click.option("--split", help="Judgements to use. Default: dev, else train, else the only ones.")
@click.option("--space", help="Space of the index to tune. Default: the index's default one.")
@click.option("--measure", "measure_name", default="nDCG@10", show_default=True, metavar="NAME")
@click.option(
    "--ignore-identical-ids/--keep-identical-ids",
    default=True,
    help="Remove a document that has the query's id, as BEIR does (the default).",
)
@click.option(
    "--k1-b",
    "k1_b",
    is_flag=True,
    help="Also find k1 and b of the BM25 parts, by weighing the text in the index again.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Default: one per core.")
@click.option("--seed", default=0, show_default=True, help="Of the halves and the bootstrap.")
@click.option("--apply", "write", is_flag=True, help="Make the weights the index's own.")
@click.option("--force", is_flag=True, help="Apply them even if the held-back half gets worse.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def tune(
    index: Path,
    folder: Path,
    split: str | None,
    space: str | None,
    measure_name: str,
    ignore_identical_ids: bool,
    threads: int | None,
    k1_b: bool,
    seed: int,
    write: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Find the weights of a space's parts, and of static vectors, on judged queries.

    The queries are divided in two by the hash of their ids. The weights are chosen on one half;
    the other says, with a 95% interval, what they are worth against the present ones. Nothing is
    encoded again.

    With --apply the weights become the defaults of the index, in a new generation. If the
    held-back half gets worse, they do not, and the exit status is 1; --force overrules that.

    With --k1-b, k1 and b of the BM25 parts are chosen and checked on the same halves, under the
    weights found. Other parts are not encoded again: a copy of the space is weighed for each trial,
    in the folder for temporary files. The index itself needs a build for other k1 and b; the
    command for it is printed.
    """
    from eval.bm25_tuning import bm25_table, tune_bm25
    from eval.measures import parse_measures
    from eval.report import tuning_table
    from eval.tune import TuningProtocol, apply_weights, open_tuning_dataset, tunable_weights
    from eval.tune import tune as find_weights
    from retriever.searcher import open_index

    if force and not write:
        raise click.UsageError("--force belongs to --apply.")
    measures = parse_measures([measure_name])
    protocol = TuningProtocol(measures[0], ignore_identical_ids, threads or usable_cpus(), seed)

    def progress(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    tuning = bm25 = None
    with open_index(index) as searcher:
        dataset = open_tuning_dataset(folder, split)
        space, weights = tunable_weights(searcher, space)
        if len(weights) > 1 or write or not k1_b:
            tuning = find_weights(searcher, dataset, protocol, space=space, progress=progress)
            weights = tuning.chosen if tuning.is_safe or force else tuning.present
        if k1_b:
            bm25 = tune_bm25(
                *(searcher, dataset, protocol), space=space, weights=weights, progress=progress
            )
    applied = bool(write and tuning and tuning.is_changed and (tuning.is_safe or force))
    if applied and tuning:
        apply_weights(index, tuning)
    if as_json:
        found = (tuning.as_json() if tuning else {}) | {"applied": applied}
        click.echo(json.dumps(found | ({"bm25": bm25.as_json()} if bm25 else {}), indent=2))
    else:
        tables = [tuning_table(tuning)] if tuning else []
        tables += [bm25_table(bm25)] if bm25 else []
        click.echo("\n".join(tables), nl=False)
    if not tuning or not write:
        return 0
    click.echo(_outcome(index, tuning, applied), err=True)
    return int(tuning.is_changed and not applied)


def _outcome(index: Path, tuning: Tuning, applied: bool) -> str:
    from eval.tune import described

    if applied:
        return f"{index}: the weights are now {described(tuning.chosen)}"
    if not tuning.is_changed:
        return f"{index}: unchanged, no weights were better than {described(tuning.present)}"
    return (
        f"{index}: unchanged, because {tuning.measure} of the held-back half would fall by "
        f"{-tuning.held_back.difference:.5f}; --force applies {described(tuning.chosen)} anyway"
    )
