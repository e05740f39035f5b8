"""``indexer delete`` and ``indexer configure``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

import click

from indexer.commands.text_input import read_lines


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
@click.argument("doc_ids", nargs=-1)
@click.option(
    "--from",
    "file",
    type=click.File(encoding="utf-8-sig"),
    help="Ids from a file, one a line; - for stdin.",
)
def delete(index: Path, doc_ids: tuple[str, ...], file: TextIO | None) -> None:
    """Delete documents from an index.

    Ids that the index does not hold are counted, and leave it as it is; if it holds none of
    them the exit code is 1.
    """
    from indexer.builder import delete_documents

    ids = list(doc_ids)
    if file is not None:
        ids += read_lines(file, "--from")
    if not ids:
        raise click.UsageError("no ids: give them as arguments or with --from FILE.")
    report = delete_documents(index, ids)
    click.echo(
        f"{index}: generation {report.generation}, {report.deleted:,} deleted, "
        f"{report.unknown:,} not in the index"
    )
    if report.unknown and not report.deleted:
        sys.exit(1)


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
@click.option("--space", help="Name of the space; default: the default space.")
@click.option("--part", help="Name of the part; may be left out when there is one.")
@click.option("--weight", type=float, help="New default weight of the part.")
@click.option(
    "--query-table",
    metavar="SOURCE",
    help="Where query weights come from: corpus-idf (recomputed from the indexed text), "
    "content-idf (the same without English stop words and punctuation), "
    "published (the checkpoint's own, or the file given last), or an idf.json file.",
)
@click.option(
    "--rerank",
    type=float,
    metavar="W",
    help="New default weight, above 0, of static vectors, by which the first documents are ranked "
    "again.",
)
def configure(
    index: Path,
    space: str | None,
    part: str | None,
    weight: float | None,
    query_table: str | None,
    rerank: float | None,
) -> None:
    """Change weights or a query table, without encoding anything again."""
    from indexer.configuration import configure_part, configure_rerank

    if rerank is not None:
        if any(option is not None for option in (space, part, weight, query_table)):
            raise click.UsageError("--rerank is about no part: give it without the other options.")
        entry_of_vectors = configure_rerank(index, rerank)
        click.echo(f"{entry_of_vectors.label}: weight {entry_of_vectors.weight:g}")
        return
    if weight is None and query_table is None:
        raise click.UsageError("nothing to change: give --weight, --query-table or --rerank.")
    entry = configure_part(index, space, part, weight=weight, query_table=query_table)
    click.echo(f"part {entry.name}: weight {entry.weight:g}, query table {entry.query.table}")
