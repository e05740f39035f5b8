"""The command ``indexer serve``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import click

MIB = 1024 * 1024


class RefusedError(click.ClickException):
    """A way of serving that is not allowed: exit code 2, like a wrong option."""

    exit_code = 2


# click leaves lines alone that follow a backspace.
HELP = """Serve indexes over HTTP.

INDEX is the directory of an index. Its NAME in URLs is that of the directory, without its
suffix, unless another is given.

\b
Examples:
  indexer serve scifact.winnow
  indexer serve papers=/data/scifact.winnow news=/data/news.winnow --port 9000
"""


@click.command(help=HELP)
@click.argument("indexes", metavar="[NAME=]INDEX...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    help="File of API keys, one per line; the variable WINNOW_API_KEYS holds keys likewise.",
)
@click.option(
    "--insecure", is_flag=True, help="Allow an address that others can reach, without any key."
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Searches at the same time.  [default: number of CPUs]",
)
@click.option(
    "--queue",
    default=64,
    show_default=True,
    type=click.IntRange(0, 4096),
    help="Requests that may wait for a thread; more are answered 429.",
)
@click.option(
    "--queue-seconds",
    default=10,
    show_default=True,
    type=click.IntRange(0, 3600),
    help="Longest wait for a thread; after that the answer is 429.",
)
@click.option(
    "--max-postings",
    type=click.IntRange(1, 2**40),
    help="Posting budget of searches that give none, or a larger one.  [default: no limit]",
)
@click.option(
    "--max-top-k",
    default=1000,
    show_default=True,
    type=click.IntRange(10, 100_000),
    help="Largest top_k of a search.",
)
@click.option(
    "--max-batch",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Most queries of a batch.",
)
@click.option(
    "--batch-seconds",
    default=60,
    show_default=True,
    type=click.IntRange(1, 3600),
    help="Longest time for a batch; after that the answer is 422.",
)
@click.option(
    "--max-body",
    default=32,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Largest request body, in MiB.",
)
@click.option(
    "--max-answer",
    default=64,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Largest answer to a search or a batch, in MiB.",
)
@click.option("--access-log", is_flag=True, help="Write a JSON line per request to stdout.")
def serve(
    indexes: Sequence[str],
    host: str,
    port: int,
    api_key_file: Path | None,
    insecure: bool,
    threads: int | None,
    queue: int,
    queue_seconds: int,
    max_postings: int | None,
    max_top_k: int,
    max_batch: int,
    batch_seconds: int,
    max_body: int,
    max_answer: int,
    access_log: bool,
) -> NoReturn:
    """Serves indexes over HTTP; see the help text above."""
    # Imported here so that 'indexer --help' need not wait for them, the heaviest ones last.
    from api.auth import KEYS_VARIABLE, ApiKeyError, find_keys
    from api.listener import ListenError, is_loopback, listen, resolve
    from api.names import IndexNameError, named_paths
    from indexer.errors import IndexerError

    try:
        paths = named_paths(indexes)
        keys = find_keys(api_key_file)
        family, address = resolve(host, port)
        if keys is None and not insecure and not is_loopback(address):
            raise RefusedError(
                f"others can reach {host}: give --api-key-file (or {KEYS_VARIABLE}), or "
                "--insecure to serve without a key"
            )
        _try_to_open(paths.values())
        listener = listen(family, address, port)
    except (IndexNameError, ApiKeyError) as error:
        raise RefusedError(_one_line(error)) from error
    except (IndexerError, ListenError) as error:
        raise click.ClickException(_one_line(error)) from error

    from api.server import run_server
    from api.settings import ServeSettings
    from kernels.cpu.processors import usable_cpus

    settings = ServeSettings(
        api_keys=keys,
        threads=threads or usable_cpus(),
        queue=queue,
        queue_seconds=queue_seconds,
        max_postings=max_postings,
        max_top_k=max_top_k,
        max_window=max(10_000, max_top_k),
        max_batch_queries=max_batch,
        batch_seconds=batch_seconds,
        max_body_bytes=max_body * MIB,
        max_answer_bytes=max_answer * MIB,
        access_log=access_log,
    )
    run_server(paths, listener, settings)


def _try_to_open(paths: Iterable[Path]) -> None:
    """Opens and closes each index, so that a broken one is told before anything is started.

    The worker process opens them for good: what a process maps is better not shared by forking.
    """
    from retriever.searcher import open_index

    for path in paths:
        open_index(path).close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
