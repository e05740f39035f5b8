"""The command ``indexer``: a thin group whose subcommands live in the packages they call.

Subcommands are entry points of the group ``winnow.commands``, loaded only when called, so that
``indexer --help`` imports nothing heavy.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from importlib.metadata import entry_points

import click

COMMANDS = {
    "build": ("indexer.commands.building:build", "Build an index from a corpus."),
    "add": ("indexer.commands.building:add", "Add documents to an index."),
    "delete": ("indexer.commands.changing:delete", "Delete documents from an index."),
    "merge": ("indexer.commands.merging:merge", "Merge segments of an index."),
    "search": ("retriever.commands:search", "Search an index."),
    "serve": ("api.commands:serve", "Serve indexes over HTTP."),
    "configure": ("indexer.commands.changing:configure", "Change part weights and query tables."),
    "inspect": ("indexer.commands.inspecting:inspect", "Show what an index holds."),
    "verify": ("indexer.commands.inspecting:verify", "Check every file of an index."),
    "adapt": ("eval.commands.adapting:adapt", "Fit part weights to a corpus, unjudged."),
    "train": ("eval.commands.training:train", "Train an encoder from text."),
    "export-encoder": (
        "encoders.commands:export_encoder",
        "Export a checkpoint to run without torch.",
    ),
    "export-router": (
        "encoders.commands:export_router",
        "Write a checkpoint in the layout of sentence-transformers and OpenSearch.",
    ),
    "doctor": ("indexer.commands.diagnosing:doctor", "Check this installation."),
}
"""The commands of this distribution with their one-line help; plug-ins add to them."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *(name for name in _plugins() if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS[cmd_name][0] if cmd_name in COMMANDS else _plugins().get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader of our output has seen enough, which click would call a failure. Python
            # must not complain at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            (name, COMMANDS[name][1] if name in COMMANDS else "(plug-in)")
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


# click leaves lines alone that follow a backspace.
HELP = """Winnow: learned sparse search on plain CPUs.

\b
indexer build corpus/            builds corpus.winnow beside it
indexer search corpus.winnow "a question in words"
indexer serve corpus.winnow      answers over HTTP
"""


def _plugins() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group="winnow.commands")}


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, help=HELP)
@click.version_option(version=None, package_name="winnow-search", prog_name="indexer")
def cli() -> None:
    """The commands; see the help text above."""


def main() -> None:
    """Runs the command line: errors are one line, exit codes 0, 1, 2 and 130."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names and texts may hold what the terminal's encoding cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(standalone_mode=False) or 0
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except Exception as error:
        if os.environ.get("WINNOW_DEBUG"):
            raise
        click.echo(f"Error: {_message(error)}", err=True)
        code = 1
    sys.exit(code)


def _message(error: Exception) -> str:
    """One line for users; the messages of our own errors are written for them."""
    if type(error).__module__.split(".")[0] in _PACKAGES:
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*names, error.strerror])
    if isinstance(error, MemoryError):
        return (
            "out of memory; give indexer build or add a smaller --memory, leave more segments with "
            "indexer merge --segments, or give the machine more."
        )
    text = " ".join(str(error).split())[:300]
    return (
        f"unexpected {type(error).__name__}: {text}. Set WINNOW_DEBUG=1 to see where it happened, "
        "and report it as a defect."
    )


_PACKAGES = {"indexer", "encoders", "retriever", "api", "eval"}
