"""``indexer merge``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.building import parse_bytes

if TYPE_CHECKING:
    from indexer.settings import Order


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
@click.option(
    "--order",
    type=click.Choice(["arrival", "bisected"]),
    help="Order of passages in the merged segment, and in segments added later. Default: the "
    "one that the index has.",
)
@click.option(
    "--segments",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Segments to leave; the smallest neighbours are merged.",
)
@click.option(
    "--refresh-statistics",
    is_flag=True,
    help="Fit BM25's average length to the documents as they are now, and compute its weights "
    "again from the stored text.",
)
@click.option(
    "--compress/--no-compress",
    default=None,
    help="Compress postings that are seldom searched: smaller files, which are decoded into "
    "memory when the index is opened. Default: if those of all merged segments are.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    callback=lambda _context, _parameter, text: parse_bytes(text) if text else None,
    help="Refuse a merge that needs more memory, e.g. 2GB. Default: what the machine has.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def merge(
    index: Path,
    order: Order | None,
    segments: int,
    refresh_statistics: bool,
    compress: bool | None,
    memory: int | None,
    as_json: bool,
) -> None:
    """Merge segments into one and drop what was deleted.

    Results stay as they are, unless statistics are refreshed.
    """
    from indexer.merge import merge_segments

    if refresh_statistics and segments > 1:
        raise click.UsageError("--refresh-statistics needs all segments: leave out --segments.")
    report = merge_segments(
        index,
        order=order,
        segments=segments,
        refresh_statistics=refresh_statistics,
        compress=compress,
        memory_bytes=memory,
    )
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), default=str))
    else:
        click.echo(report.render())
