"""The command line ``python -m eval``."""

from __future__ import annotations

import os
import sys

import click

from eval.commands.comparing import compare
from eval.commands.reporting import report
from eval.commands.running import run
from eval.commands.tuning import tune


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version=None, package_name="winnow-search", prog_name="eval")
def cli() -> None:
    """Evaluate rankings on test collections in BEIR layout.

    \b
    python -m eval run --data scifact/ --encoder english-bm25 --peer bm25s -o results/
    python -m eval compare results/ --systems english-bm25 bm25s
    python -m eval report results/
    python -m eval tune scifact.winnow --data scifact/ --split train
    """  # noqa: D301 - click's mark of a paragraph to leave as it is


cli.add_command(run)
cli.add_command(compare)
cli.add_command(report)
cli.add_command(tune)


def main() -> None:
    """Runs the command line: errors are one line, exit codes 0, 1, 2 and 130."""
    try:
        code = cli.main(prog_name="python -m eval", standalone_mode=False) or 0
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:
        # The reader of our output has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if os.environ.get("WINNOW_DEBUG") or not _is_named(error):
            raise
        click.echo(f"error: {error}", err=True)
        code = 1
    sys.exit(code)


def _is_named(error: Exception) -> bool:
    """Whether an error is one of ours, whose message is written for users."""
    return type(error).__module__.split(".")[0] in {"indexer", "encoders", "retriever", "eval"}
