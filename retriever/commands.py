"""``indexer search``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TextIO

import click

from indexer.commands.text_input import read_lines
from kernels.cpu.search import Approximation
from retriever.reranking import RERANK
from retriever.results import Hit, Results
from retriever.run import run_lines
from retriever.searcher import Searcher, open_index


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
@click.argument("query", nargs=-1)
@click.option(
    "-k", "--top-k", "k", type=click.IntRange(0), default=10, show_default=True, help="Most hits."
)
@click.option("--offset", type=click.IntRange(0), default=0, help="Hits to skip.")
@click.option("--space", help="Name of the space to search.")
@click.option("--part-weight", "weights", multiple=True, metavar="PART=W", help="Weight of a part.")
@click.option("--filter", "condition", metavar="JSON", help='{"field": "year", "gte": 2000}')
@click.option("--min-score", type=float, help="Leave out hits that score less.")
@click.option("--explain", is_flag=True, help="Show each term's share of the score.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per hit.")
@click.option(
    "--queries",
    type=click.File(encoding="utf-8-sig"),
    help="Many queries: QUERY_ID<tab>QUERY a line; - for stdin. Prints a TREC run.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Queries at a time with --queries; else threads for the one query.",
)
@click.option(
    "--rerank",
    type=click.FloatRange(0),
    metavar="W",
    help="Weight of static vectors, by which the first documents are ranked again; 0: not.",
)
@click.option(
    "--posting-budget",
    type=click.IntRange(0),
    default=0,
    help="Stop after so many postings, most promising rows first: fast, but no longer exact.",
)
def search(
    index: Path,
    query: tuple[str, ...],
    k: int,
    offset: int,
    space: str | None,
    weights: tuple[str, ...],
    condition: str | None,
    min_score: float | None,
    explain: bool,
    as_json: bool,
    queries: TextIO | None,
    threads: int,
    rerank: float | None,
    posting_budget: int,
) -> None:
    """Search an index.

    QUERY is words. With --queries FILE many are answered and a TREC run is printed.
    """
    options = {
        "space": space,
        "part_weights": _part_weights(weights),
        "filter": _json(condition),
        "min_score": min_score,
        "offset": offset,
        "rerank": rerank,
        "approximation": Approximation(posting_budget=posting_budget),
    }
    if bool(query) == (queries is not None):
        raise click.UsageError("give a query in words, or many with --queries FILE.")
    if queries is not None and (as_json or explain):
        raise click.UsageError("--queries prints a TREC run: leave out --json and --explain.")
    with open_index(index) as searcher:
        if queries is not None:
            _print_run(searcher, queries, k, threads, options)
            return
        # So that the time shown is the query's, not that of loading compiled code.
        searcher.warm_up()
        results = searcher.search(
            " ".join(query),
            k,
            explain=explain or not as_json,
            highlight=not as_json,
            count_total=not as_json,
            threads=threads,
            **options,  # type: ignore[arg-type]
        )
        if as_json:
            for hit in results.hits:
                click.echo(json.dumps(dataclasses.asdict(hit), ensure_ascii=False))
        else:
            _print_hits(searcher, results, explain)


def _print_hits(searcher: Searcher, results: Results, explain: bool) -> None:
    for hit in results.hits:
        title = _without_id(searcher.document(hit.doc_id).title, hit.doc_id)
        doc_id = hit.doc_id if hit.doc_id.isprintable() else repr(hit.doc_id)
        click.echo(
            click.style(f"{hit.rank:>3}. {doc_id}", bold=True)
            + f"  {hit.score:.3f}"
            + (f"  {title}" if title else "")
        )
        for snippet in hit.snippets or ():
            if snippet.field == "text":
                click.echo("     " + _marked(snippet.text, snippet.matches))
        click.echo(click.style("     matched: " + _terms(hit, explain), dim=True))
    total = results.total.value
    found = f"{total:,} matching document{'s' * (total != 1)}"
    if results.hits and len(results.hits) < total:
        found = f"{results.hits[0].rank:,} to {results.hits[-1].rank:,} of {found}"
    elif total and not results.hits:
        found = f"none shown of {found}"
    click.echo(f"{found if total else 'no document matches'}, {results.took_ms:.1f} ms", err=True)


def _without_id(title: str, doc_id: str) -> str:
    """The title on one line, without the id if it begins with it, as ``sum(iterable)`` does."""
    rest = title.removeprefix(doc_id)
    if len(rest) < len(title) and not (rest[:1].isalnum() or rest[:1].isspace()):
        title = rest
    return " ".join(title.split())


def _marked(text: str, matches: tuple[tuple[int, int], ...]) -> str:
    pieces = []
    last = 0
    for start, end in matches:
        pieces += [text[last:start], click.style(text[start:end], fg="yellow", bold=True)]
        last = end
    pieces.append(text[last:])
    return " ".join("".join(pieces).split())


def _terms(hit: Hit, explain: bool) -> str:
    terms = hit.explanation or ()
    if not explain:
        terms = tuple(term for term in terms if term.part != RERANK)
        return ", ".join(dict.fromkeys((term.word or term.term).lower() for term in terms))
    return ", ".join(
        f"{term.term} {term.contribution:.3f}"
        f" = {term.query_weight:.3f} x {term.document_weight:.3f}"
        f" ({term.part}{'' if term.in_text else ', expanded'})"
        for term in terms
    )


def _print_run(searcher: Searcher, queries: TextIO, k: int, threads: int, options: dict) -> None:
    rows = [line.partition("\t") for line in read_lines(queries, "--queries")]
    if any(not tab for _, tab, _ in rows):
        raise click.UsageError("each line of --queries is QUERY_ID<tab>QUERY.")
    texts = [text for _, _, text in rows]
    found = searcher.search_batch(texts, k, threads=threads, **options)
    for (query_id, _, _), results in zip(rows, found, strict=True):
        ranking = [(hit.doc_id, hit.score) for hit in results.hits]
        sys.stdout.writelines(run_lines(query_id, ranking, "winnow"))


def _part_weights(texts: tuple[str, ...]) -> dict[str, float] | None:
    weights = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            weights[name] = float(number)
            if not name:
                raise ValueError
        except ValueError:
            raise click.UsageError(f"--part-weight takes PART=NUMBER, got {text!r}.") from None
    return weights or None


def _json(text: str | None) -> dict | None:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--filter is not JSON: {error}.") from None
