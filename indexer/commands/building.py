"""``indexer build`` and ``indexer add``."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from indexer.corpus.language import EnglishDetector
    from indexer.corpus.records import CorpusRecord
    from indexer.settings import Order

SMALLEST_MEMORY = 1 << 20

CORPUS_HELP = (
    "CORPUS is a folder in BEIR layout, of JSONL, CSV, TSV, Parquet or Arrow files, of .txt, .md "
    "or .html files, one such file (also .gz, .xz, .zst), or - for standard input."
)


def _reading_options(command: Callable) -> Callable:
    options = [
        click.option("--id-field", metavar="NAME", help="Field of the identifier."),
        click.option("--title-field", metavar="NAME", help="Field of the title."),
        click.option("--text-field", metavar="NAME", multiple=True, help="Field(s) of the text."),
        click.option("--format", "format_", metavar="NAME", help="Read only this format."),
        click.option(
            "--schema",
            type=click.Path(dir_okay=False, path_type=Path),
            help='Types of metadata fields, as JSON: {"year": "integer"}.',
        ),
        click.option("--generate-ids", is_flag=True, help="Records without ids get FILE:LINE."),
        click.option("--strict", is_flag=True, help="Stop at the first record that is rejected."),
        click.option("--rejects", type=click.Path(path_type=Path), help="Where rejects go."),
        click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
        click.option("-q", "--quiet", is_flag=True, help="No progress, no sample."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _encoding_options(command: Callable) -> Callable:
    options = [
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Processes that encode, for parts with a network; each holds the model. The index "
            "is the same. Default: one per GPU where there are several, else 1.",
        ),
        click.option(
            "--resume",
            is_flag=True,
            help="Go on where a run that did not end has stopped: what it has encoded is kept in "
            "INDEX.encoding until the commit.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(help="Build an index from a corpus.\n\n" + CORPUS_HELP)
@click.argument("corpus")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: CORPUS.winnow.")
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    metavar="EXPRESSION",
    help="What to index: 'bm25', 'english-bm25 + 0.5*splade:DIR'. Default: English BM25 and, "
    "beside it, the learned model that comes with Winnow; plain-bm25 if the text is not English. "
    "Repeat with NAME=EXPRESSION for several spaces; the first is the default space.",
)
@click.option("--analyzer", metavar="NAME", help="Short for --encoder NAME-bm25.")
@click.option(
    "--vectors",
    default="auto",
    metavar="VECTORS",
    help="Vectors that rank the first documents of a search again: 'static' for the static ones "
    "that come with Winnow, 'minilm' or minilm:DIR for documents that all-MiniLM-L6-v2 reads, "
    "which takes longer to build and finds more, 'none', or a directory of static vectors. "
    "Default: static where --encoder is left out and the text is English, else none.",
)
@click.option("--split/--no-split", default=True, help="Split long documents into passages.")
@click.option("--passage-tokens", type=click.IntRange(min=16), help="Most tokens of a passage.")
@click.option(
    "--memory",
    default="1GB",
    callback=lambda _context, _parameter, text: parse_bytes(text),
    help="Memory for rows before a segment is written.",
)
@click.option(
    "--order",
    type=click.Choice(["arrival", "bisected"]),
    default="arrival",
    show_default=True,
    help="Order of passages within a segment; bisected puts similar ones together, which takes "
    "time now and makes searches some 8 % faster where documents come in random order. Results are "
    "the same.",
)
@click.option("--overwrite", is_flag=True, help="Replace an index that is there.")
@_encoding_options
@_reading_options
def build(
    corpus: str,
    output: Path | None,
    encoders: tuple[str, ...],
    analyzer: str | None,
    vectors: str,
    split: bool,
    passage_tokens: int | None,
    memory: int,
    order: Order,
    overwrite: bool,
    workers: int | None,
    resume: bool,
    **reading: Any,
) -> None:
    """Builds an index; see the help text above."""
    from indexer.builder import build_index, refuse_overwriting
    from indexer.settings import BuildSettings
    from indexer.spaces import create_spaces

    if encoders and analyzer:
        raise click.UsageError("--analyzer is short for --encoder: give one of them.")
    expressions = _expressions(encoders, analyzer)
    settings = BuildSettings(
        split=split, passage_tokens=passage_tokens, memory_bytes=memory, order=order
    )
    if output is None:
        if corpus == "-":
            raise click.UsageError("standard input has no name: say where the index goes with -o.")
        path = Path(os.path.abspath(corpus))  # noqa: PTH100 - folds '..', follows no link
        if not path.name:
            raise click.UsageError(f"{corpus} has no name: say where the index goes with -o.")
        output = path.with_name(f"{path.name}.winnow")
    refuse_overwriting(output, overwrite=overwrite)
    spaces = create_spaces(expressions) if expressions else None

    def run(records, fields, rejects, progress):  # type: ignore[no-untyped-def]
        return build_index(
            records,
            output,
            spaces,
            settings=settings,
            fields=fields,
            rejects=rejects,
            vectors=vectors,
            overwrite=overwrite,
            progress=progress,
            workers=workers,
            resume=resume,
        )

    analyzers = [
        str(part.encoder.spec.parameters.get("analyzer", ""))
        for parts in (spaces or {}).values()
        for part in parts
    ]
    english = any(analyzer.startswith("english") for analyzer in analyzers)
    _read_and_run(corpus, output, run, warn_of_language=english, **reading)


@click.command(
    help="Add documents to an index, or with --replace put new versions in place of old ones."
    "\n\n" + CORPUS_HELP
)
@click.argument("index", type=click.Path(path_type=Path))
@click.argument("corpus")
@click.option("--replace", is_flag=True, help="Documents whose ids the index holds replace these.")
@_encoding_options
@_reading_options
def add(
    index: Path, corpus: str, replace: bool, workers: int | None, resume: bool, **reading: Any
) -> None:
    """Adds documents to an index; see the help text above."""
    from indexer.builder import add_documents
    from indexer.corpus.mapping import CANDIDATE_NAMES
    from indexer.format.manifest import read_manifest

    # Values are read as the types that the index has, but for fields that may be the id or text.
    fields = read_manifest(index).fields
    types = {name: kind for name, kind in fields.items() if name.lower() not in CANDIDATE_NAMES}

    def run(records, fields, rejects, progress):  # type: ignore[no-untyped-def]
        return add_documents(
            index,
            records,
            fields=fields,
            rejects=rejects,
            replace=replace,
            progress=progress,
            workers=workers,
            resume=resume,
        )

    _read_and_run(corpus, index, run, types=types, warn_of_language=False, **reading)


def _expressions(encoders: tuple[str, ...], analyzer: str | None) -> dict[str, str]:
    from indexer.spaces import DEFAULT_SPACE

    if analyzer:
        return {DEFAULT_SPACE: f"{analyzer}-bm25"}
    expressions: dict[str, str] = {}
    for text in encoders:
        name, equals, expression = text.partition("=")
        # An '=' after a ':' belongs to an argument: english-bm25:k1=1.2
        if not equals or not name.replace("-", "").replace("_", "").isalnum():
            name, expression = DEFAULT_SPACE, text
        if name in expressions:
            raise click.UsageError(
                f"two encoders for the space {name!r}: write NAME=EXPRESSION for several spaces, "
                "or join parts of one space with '+'."
            )
        expressions[name] = expression
    return expressions


def _read_and_run(
    corpus: str,
    index: Path,
    run: Callable,
    *,
    types: Mapping[str, str] | None = None,
    warn_of_language: bool,
    id_field: str | None,
    title_field: str | None,
    text_field: tuple[str, ...],
    format_: str | None,
    schema: Path | None,
    generate_ids: bool,
    strict: bool,
    rejects: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from indexer.corpus.language import EnglishDetector
    from indexer.corpus.layout import REJECTS_SUFFIX
    from indexer.corpus.options import CorpusOptions, FieldMapping
    from indexer.corpus.reader import open_corpus
    from indexer.corpus.records import RejectLog
    from indexer.progress import show_progress

    mapping = FieldMapping(doc_id=id_field, title=title_field, text=text_field or None)
    options = CorpusOptions(
        mapping=mapping,
        types={k: v for k, v in (types or {}).items() if k not in mapping.names},
        schema_file=schema,
        format=format_,
        generate_ids=generate_ids,
    )
    rejects = rejects or index.absolute().with_name(index.name + REJECTS_SUFFIX)
    with RejectLog(rejects, strict=strict) as log:
        source = open_corpus(corpus, options, log)
        if not quiet:
            click.echo(source.description.render(), err=True)
        detector = EnglishDetector() if warn_of_language else None
        records = source if detector is None else _watched(source, detector)
        with show_progress(source, quiet=quiet) as progress:
            report = run(records, source.description.types, log, progress)
    warnings = list(report.warnings)
    if not report.documents:
        warnings.append("no document was indexed")
    if detector is not None and (warning := detector.warning()):
        warnings.append(warning)
    report = dataclasses.replace(report, warnings=tuple(warnings))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), default=str))
    else:
        click.echo(report.render())


def _watched(records: Iterable[CorpusRecord], detector: EnglishDetector) -> Iterator[CorpusRecord]:
    for record in records:
        if not detector.is_full:
            detector.add(record.document)
        yield record


def parse_bytes(text: str) -> int:
    """Reads sizes such as ``512MB`` or ``2GiB``.

    >>> parse_bytes("2.5MB"), parse_bytes("1GiB")
    (2500000, 1073741824)
    """
    units = {"": 1, "B": 1, "K": 1000, "M": 10**6, "G": 10**9, "T": 10**12}
    units |= {f"{unit}B": size for unit, size in units.items() if unit in "KMGT" and unit}
    units |= {f"{unit}iB": 1024 ** (i + 1) for i, unit in enumerate("KMGT")}
    number = text.strip().rstrip("KMGTiBkmgtb")
    unit = text.strip()[len(number) :]
    unit = unit if unit.endswith("iB") else unit.upper()
    try:
        size = int(float(number) * units[unit])
    except (ValueError, KeyError, OverflowError):
        raise click.BadParameter(f"not a size such as 512MB or 2GiB: {text!r}") from None
    if size < SMALLEST_MEMORY:
        raise click.BadParameter(f"must be at least 1MiB, got {text!r}")
    return size
