"""``indexer inspect`` and ``indexer verify``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def inspect(index: Path, as_json: bool) -> None:
    """Show what an index holds and what its bytes are spent on."""
    from indexer.format.manifest import read_manifest
    from indexer.inspection import render

    manifest = read_manifest(index)
    if as_json:
        click.echo(json.dumps(manifest.model_dump(mode="json"), indent=1))
    else:
        click.echo(render(index, manifest))


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
def verify(index: Path) -> None:
    """Check every file of an index against its checksum."""
    from indexer.report import format_size
    from indexer.verification import verify as verify_index

    result = verify_index(index)
    for name, problem in result.problems:
        click.echo(f"{index / name}: {problem}", err=True)
    click.echo(
        f"{index}: generation {result.generation}, {result.files} files, "
        f"{format_size(result.size_bytes)}: "
        + (f"{len(result.problems)} damaged" if result.problems else "all as written")
    )
    if result.problems:
        sys.exit(1)
