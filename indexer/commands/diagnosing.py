"""``indexer doctor``."""

from __future__ import annotations

import sys

import click


@click.command()
def doctor() -> None:
    """Check this installation: packages, name clashes, processor, caches."""
    from indexer.diagnosis import diagnose

    findings = diagnose()
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.text}")
    if not all(finding.ok for finding in findings):
        sys.exit(1)
