"""``python -m eval run``."""

from __future__ import annotations

import datetime
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eval.peers.process import PEERS

if TYPE_CHECKING:
    from eval.datasets.beir import Dataset
    from eval.systems import System

_NAMED = re.compile(r"([A-Za-z0-9][\w .+-]*)=(.+)", re.DOTALL)


@click.command()
@click.option(
    "--data",
    "folders",
    multiple=True,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A collection in BEIR layout; repeat for several.",
)
@click.option("--split", help="Judgements to use. Default: test, or the only ones there are.")
@click.option(
    "--index",
    "indexes",
    multiple=True,
    metavar="[NAME=]PATH",
    help="A built index; {collection} in PATH stands for the name of the collection's folder.",
)
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    metavar="[NAME=]EXPRESSION",
    help="An encoder, such as 'english-bm25 + 0.5*splade:DIR'; indexes are built and removed.",
)
@click.option(
    "--peer", "peers", multiple=True, type=click.Choice(PEERS), help="Another engine's BM25."
)
@click.option("-k", default=1000, show_default=True, type=click.IntRange(min=1), help="Depth.")
@click.option(
    "--measure",
    "measure_names",
    multiple=True,
    metavar="NAME",
    help="Such as nDCG@10 or P(rel=2)@5; repeat for several. Default: nDCG@10 R@100 RR@10 AP.",
)
@click.option("--space", help="Space of the indexes to search.")
@click.option("--part-weight", "weights", multiple=True, metavar="PART=W", help="For indexes.")
@click.option(
    "--rerank",
    type=click.FloatRange(0),
    metavar="W",
    help="Weight of static vectors; 0: without.",
)
@click.option(
    "--vectors",
    default="none",
    show_default=True,
    metavar="VECTORS",
    help="For encoders: vectors that rank the first documents again: static, minilm[:DIR], none, "
    "or a directory, as for 'indexer build'.",
)
@click.option("--split-documents/--whole-documents", default=True, help="For encoders: passages.")
@click.option(
    "--ignore-identical-ids/--keep-identical-ids",
    default=True,
    help="Remove a document that has the query's id, as BEIR does (the default).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for run files, per-query files, results.json and results.md.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def run(
    folders: tuple[Path, ...],
    split: str | None,
    indexes: tuple[str, ...],
    encoders: tuple[str, ...],
    peers: tuple[str, ...],
    k: int,
    measure_names: tuple[str, ...],
    space: str | None,
    weights: tuple[str, ...],
    rerank: float | None,
    vectors: str,
    split_documents: bool,
    ignore_identical_ids: bool,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Evaluate indexes, encoders and other engines on collections.

    Prints a table per measure. Exit status 1 says that a system failed; a peer that is not
    installed is reported in the table.
    """
    from encoders.static_config import MAX_RERANK_WEIGHT
    from eval.datasets.beir import open_dataset
    from eval.indexes import EncoderSystem, IndexSystem
    from eval.machine import describe_machine, load_average, package_versions
    from eval.measures import DEFAULT_MEASURES, evaluate, parse_measures
    from eval.report import results_table
    from eval.results import FILE_NAME, Results, write_results
    from eval.runner import Protocol, run_system
    from indexer.settings import BuildSettings
    from indexer.spaces import create_vectors

    measures = parse_measures(measure_names or DEFAULT_MEASURES)
    # A measure that no installed package computes is refused now, not after hours of encoding.
    evaluate({"query": {"document": 1}}, {"query": [("document", 1.0)]}, measures)
    part_weights = dict(_part_weight(text) for text in weights) or None
    # What cannot be searched is refused now as well.
    if rerank is not None and not rerank <= MAX_RERANK_WEIGHT:
        raise click.UsageError(f"--rerank must be at most {MAX_RERANK_WEIGHT:g}, got {rerank}.")
    if encoders and rerank and create_vectors(vectors) is None:
        raise click.UsageError(
            "--rerank for --encoder needs vectors to rank with: --vectors static."
        )
    make_index = partial(IndexSystem, space=space, part_weights=part_weights, rerank=rerank)
    make_encoder = partial(
        EncoderSystem,
        settings=BuildSettings(split=split_documents),
        quiet=quiet,
        vectors=vectors,
        rerank=rerank,
    )
    systems = _systems(indexes, encoders, peers, make_index, make_encoder)
    datasets = [open_dataset(folder, split) for folder in folders]
    _check_collections(datasets, indexes)
    if output is not None:
        if (output / FILE_NAME).exists() and not overwrite:
            raise click.UsageError(f"{output / FILE_NAME} exists; add --overwrite to replace it.")
        output.mkdir(parents=True, exist_ok=True)
    protocol = Protocol(measures, k, ignore_identical_ids)
    results = Results(
        created=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        command="python -m eval " + shlex.join(sys.argv[1:]),
        k=k,
        ignore_identical_ids=ignore_identical_ids,
        measures=[str(measure) for measure in measures],
        machine=describe_machine(),
        load=load_average(),
        versions=package_versions(),
        results=[],
    )

    def progress(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    for dataset in datasets:
        for system in systems:
            result = run_system(system, dataset, protocol, output, progress)
            results.results.append(result)
            if output is not None:  # after each system, so that a long evaluation may break off
                write_results(output / FILE_NAME, results)
                (output / "results.md").write_text(results_table(results), encoding="utf-8")
    click.echo(results.model_dump_json(indent=2) if as_json else results_table(results), nl=as_json)
    return int(any(result.status == "failed" for result in results.results))


def _systems(
    indexes: Sequence[str],
    encoders: Sequence[str],
    peers: Sequence[str],
    make_index: Callable[[str, str | None], System],
    make_encoder: Callable[[str, str | None], System],
) -> list[System]:
    """The systems in the order of the kinds of options; their names are distinct."""
    from eval.peers.process import PeerSystem
    from eval.runner import file_stem

    systems: list[System] = []
    for make, texts in ((make_index, indexes), (make_encoder, encoders)):
        for text in texts:
            name, rest = _named(text)
            systems.append(make(rest, name))
    systems += [PeerSystem(peer) for peer in dict.fromkeys(peers)]
    if not systems:
        raise click.UsageError("nothing to evaluate: give --index, --encoder or --peer.")
    stems: set[str] = set()
    for system in systems:
        stem = file_stem(system.name).lower()
        if stem in stems:
            raise click.UsageError(
                f"two systems would be called {system.name!r}; name them: --index NAME=PATH, "
                "--encoder NAME=EXPRESSION."
            )
        stems.add(stem)
    return systems


def _check_collections(datasets: Sequence[Dataset], indexes: Sequence[str]) -> None:
    from eval.indexes import COLLECTION

    names = [dataset.name for dataset in datasets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise click.UsageError(f"two collections are called {twice[0]!r}; rename a folder.")
    if len(names) > 1:
        for text in indexes:
            if COLLECTION not in text:
                raise click.UsageError(
                    f"with several collections, --index {text} must hold {COLLECTION}, such as "
                    "--index 'indexes/{collection}.winnow'."
                )


def _named(text: str) -> tuple[str | None, str]:
    """Divides ``NAME=REST``; a path that exists is never divided."""
    found = _NAMED.fullmatch(text)
    if found is None or Path(text).exists():
        return None, text
    return found[1].strip(), found[2]


def _part_weight(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise click.UsageError(f"--part-weight takes PART=NUMBER, got {text!r}.") from None
