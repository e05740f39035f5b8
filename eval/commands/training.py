"""``indexer train``: wires training to our own index, for negatives, and to the dev sets."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import click

_CONFIG = click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Directory of the run."
)


@click.group()
def train() -> None:
    """Train an encoder from text; needs the extra [encode]."""
    require_training()


def require_training() -> None:
    """Refuses to go on without the packages that training needs.

    Raises:
        EncoderError: One of them is not installed.
    """
    from encoders.errors import EncoderError

    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise EncoderError(
            f"training needs the package {missing[0]!r}, which is not installed; install it with: "
            "pip install 'winnow-search[encode]'"
        )


@train.command()
@_CONFIG
@_OUTPUT
@click.option("--resume", is_flag=True, help="Go on where a stopped run left off.")
@click.option("--prepare-only", is_flag=True, help="Fill the teachers' caches and stop.")
@click.option("--seed", type=click.IntRange(min=0))
@click.option("--steps", type=click.IntRange(min=1), help="A shorter or longer schedule.")
@click.option("--threads", type=click.IntRange(min=1), help="Of torch.")
def sparse(
    config: Path,
    output: Path | None,
    resume: bool,
    prepare_only: bool,
    seed: int | None,
    steps: int | None,
    threads: int | None,
) -> None:
    """Train a SPLADE-type document encoder to stand beside BM25.

    CONFIG is a TOML file; see docs/default-model.md. The run can be killed at any time and goes
    on with --resume to the same result. Its directory holds log.jsonl, and latest/ and best/,
    which are checkpoints to use as splade:DIR at any time.
    """
    from encoders.training.configuration import read_config
    from encoders.training.loop import load_student, refuse_another_run
    from encoders.training.loop import train as run
    from encoders.training.pool import prepare
    from encoders.training.sources import excluded_queries
    from eval.development import DevSets
    from eval.mining import NegativeMiner

    settings = read_config(config, **_given(output=output, seed=seed, threads=threads))
    if steps is not None:
        schedule = settings.schedule.model_copy(update={"steps": steps})
        settings = settings.model_copy(update={"schedule": schedule})
    if not (resume or prepare_only):
        refuse_another_run(settings.output)  # now, and not after the teachers have read everything
    _use_threads(settings.threads)
    student = load_student(settings)
    excluded = excluded_queries([*settings.dev, *settings.exclude])
    pool = prepare(settings, student, NegativeMiner(settings, _tell), excluded, _tell)
    if prepare_only:
        return
    evaluate = DevSets(settings, student) if settings.dev and settings.evaluate_every else None
    run(settings, pool, student=student, evaluate=evaluate, resume=resume, progress=_tell)


@train.command()
@_CONFIG
@_OUTPUT
@click.option(
    "--with",
    "others",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of another run whose weights are averaged with this one's; repeatable.",
)
def select(config: Path, output: Path | None, others: tuple[Path, ...]) -> None:
    """Choose between initial and trained weights, and the part's weight, on the dev sets.

    Works on a run that is still going on. Writes selected/ and selection.json.
    """
    from encoders.training.configuration import read_config
    from encoders.training.loop import load_student
    from encoders.training.selection import select as choose
    from eval.development import DevSets

    settings = read_config(config, **_given(output=output))
    _use_threads(settings.threads)
    sets = DevSets(settings, load_student(settings))
    base = sets.base()
    _tell(f"base alone: dev {base.mean:.4f}: {_figures(base.figures)}")
    found = choose(settings, sets.at_weights, _tell, others)
    best = found[0].developments[0]
    click.echo(
        f"{settings.output / 'selected'}: {found[0].checkpoint} x {found[0].share:g}, weight of "
        f"the part {best.part_weight:g}, dev mean {best.mean:.4f}"
    )


@train.command()
@_CONFIG
@_OUTPUT
@click.option("--int8", is_flag=True, help="8-bit products in the exported form.")
@click.option(
    "--part-weight",
    type=click.FloatRange(min=0, min_open=True),
    help="Recorded in onnx/ as the part's weight; by default the one that was selected.",
)
@click.option(
    "--max-length",
    type=click.IntRange(min=8),
    help="Tokens of a document. Default: the recipe's export.max_length, else 256.",
)
@click.option(
    "--prune",
    help="Small weights to drop, or 'none'. Default: the recipe's export.prune, else "
    "'max_ratio:0.15'.",
)
@click.option(
    "--query-table",
    type=click.Choice(["corpus", "content"]),
    help="Weights of all tokens of a query, or of those that are no stop words. Default: the "
    "recipe's export.query_table, else content.",
)
def save(
    config: Path,
    output: Path | None,
    int8: bool,
    part_weight: float | None,
    max_length: int | None,
    prune: str | None,
    query_table: Literal["corpus", "content"] | None,
) -> None:
    """Save the selected model for use: router/ and onnx/ in the run's directory.

    router/ is the layout that sentence-transformers and OpenSearch load, with the idf of the
    training documents as query weights; onnx/ runs without torch, with query weights from the
    indexed collection. What was saved before is replaced.
    """
    from encoders.checkpoint import position_limit, read_checkpoint
    from encoders.onnx_export import export_encoder
    from encoders.pruning import Pruning
    from encoders.query.stopwords import without_content
    from encoders.query_factors import QUERY_FACTORS
    from encoders.router_layout import save_router_layout
    from encoders.splade_options import SpladeOptions
    from encoders.training.configuration import read_config
    from encoders.training.lexical import QueryWeights
    from encoders.training.loop import load_student
    from encoders.training.selection import SELECTED, selected_part_weight
    from encoders.training.sources import read_source
    from encoders.training.student import Student

    settings = read_config(config, **_given(output=output))
    selected, wanted = settings.output / SELECTED, settings.export
    part_weight = part_weight or selected_part_weight(settings.output)
    student = Student(selected, load_student(settings).pooling)
    limit = position_limit(read_checkpoint(selected).config)
    options = SpladeOptions(
        max_length=max_length or min(wanted.max_length, limit or wanted.max_length),
        prune=Pruning.parse(prune or wanted.prune),
        activation=student.pooling.activation,
        query_table=query_table or wanted.query_table,
    )
    documents = [text for source in settings.sources for text in read_source(source).documents]
    table = QueryWeights(student.tokenizer, documents).idf
    if options.query_table == "content":
        table[sorted(without_content(student.tokenizer))] = 0
    router, onnx = settings.output / "router", settings.output / "onnx"
    shutil.rmtree(router, ignore_errors=True)
    # router/ has trained factors in its query weights, so that pruning would weigh without them.
    pruning = "none" if (selected / QUERY_FACTORS).is_file() else options.prune
    save_router_layout(
        f"{selected}?activation={options.activation}&max_length={options.max_length}"
        f"&prune={pruning}",
        router,
        query_weights=table,
    )
    export_encoder(
        selected,
        onnx,
        options=options,
        precision="int8" if int8 else "float32",
        part_weight=part_weight,
        overwrite=True,
    )
    click.echo(
        f"{router}, {onnx}: {options.max_length} tokens, pruned by {options.prune}, query table "
        f"{options.query_table}"
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _figures(figures: Any) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in figures.items())


def _tell(line: str) -> None:
    click.echo(line, err=True)
