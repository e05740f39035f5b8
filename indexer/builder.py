"""Builds indexes and adds documents to them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from encoders.base import Document
from indexer.corpus.layout import REJECTS_SUFFIX
from indexer.corpus.options import CorpusOptions
from indexer.corpus.reader import open_corpus
from indexer.corpus.records import CorpusRecord, Reject, RejectLog, RejectReason
from indexer.default_encoder import choose_encoder
from indexer.draft import Spaces
from indexer.encoding import encoders_at_work
from indexer.errors import (
    IncompatibleIndexError,
    IndexCorruptError,
    IndexExistsError,
    IndexNotFoundError,
)
from indexer.format.commit import (
    LOCK_NAME,
    QUERY,
    SEGMENTS,
    commit_manifest,
    remove_unnamed_files,
    write_lock,
)
from indexer.format.manifest import MANIFEST_NAME, read_manifest
from indexer.generation import GenerationWriter, Progress
from indexer.report import BuildReport, DeletionReport
from indexer.settings import BuildSettings, recorded_settings
from indexer.spaces import (
    DEFAULT_SPACE,
    create_spaces,
    create_vectors,
    reopen_spaces,
    reopen_vectors,
)
from indexer.tombstones import LiveDocuments, without_documents


def _silent(stage: str, done: int) -> None:
    """No progress."""


def build(
    source: str | Path | Iterable[Document],
    output: str | Path,
    encoder: str | Mapping[str, str] | None = None,
    *,
    settings: BuildSettings | None = None,
    options: CorpusOptions | None = None,
    vectors: str = "auto",
    overwrite: bool = False,
    workers: int | None = 1,
    resume: bool = False,
) -> BuildReport:
    """Builds an index from a corpus or from documents.

    Args:
        source: Path of a corpus of any kind that ``indexer.corpus`` reads, or documents.
        output: Directory of the index.
        encoder: Encoder expression, or one per space by name (the first is the default space). By
            default ``indexer.default_encoder`` chooses: English BM25 and, beside it, the model that
            comes with Winnow; plain BM25 for text that is not English, with a warning.
        settings: Passages and memory.
        options: How to read the corpus.
        vectors: See :func:`build_index`.
        overwrite: Replace an index that is there.
        workers: See :func:`build_index`.
        resume: The same.

    Raises:
        indexer.errors.IndexerError: See :func:`build_index` and ``indexer.corpus``.
        encoders.errors.EncoderError: The encoder cannot be made.

    >>> report = build([Document("a", "A red apple")], "fruit.winnow", overwrite=True)
    >>> report.documents
    1
    """
    output = Path(output)
    expressions = {DEFAULT_SPACE: encoder} if isinstance(encoder, str) else encoder
    spaces = None if expressions is None else create_spaces(expressions)
    if isinstance(source, str | Path):
        rejects = RejectLog(output.with_name(output.name + REJECTS_SUFFIX))
        with rejects:
            corpus = open_corpus(source, options or CorpusOptions(), rejects)
            return build_index(
                corpus,
                output,
                spaces,
                settings=settings,
                fields=corpus.description.types,
                rejects=rejects,
                vectors=vectors,
                overwrite=overwrite,
                workers=workers,
                resume=resume,
            )
    rejects = RejectLog()
    records = _as_records(source, rejects)
    report = build_index(
        records,
        output,
        spaces,
        settings=settings,
        rejects=rejects,
        vectors=vectors,
        overwrite=overwrite,
        workers=workers,
        resume=resume,
    )
    return dataclasses.replace(report, warnings=(*report.warnings, *_unlisted(rejects)))


def build_index(
    records: Iterable[CorpusRecord],
    output: Path,
    spaces: Spaces | None,
    *,
    settings: BuildSettings | None = None,
    fields: Mapping[str, str] | None = None,
    rejects: RejectLog | None = None,
    vectors: str = "auto",
    overwrite: bool = False,
    progress: Progress = _silent,
    workers: int | None = 1,
    resume: bool = False,
) -> BuildReport:
    """Builds an index at ``output`` and commits it as a new generation.

    With ``overwrite`` an index that is there stays searchable until the new one is committed.

    Args:
        records: The corpus; read once, ids are distinct.
        output: Directory of the index.
        spaces: Encoders per space; the first space is the default one. ``None`` for one space of
            what suits the collection; see :func:`build`.
        settings: Passages and memory.
        fields: Types of metadata fields; others are taken from the first value seen.
        rejects: Where records go that cannot be indexed.
        vectors: Vectors that rank the first documents of a search again: ``static`` for the static
            ones that come with Winnow, ``minilm`` or ``minilm:DIR`` for documents that
            all-MiniLM-L6-v2 reads, ``none``, a directory of static vectors, or ``auto`` for those
            of Winnow where its model is the encoder by default.
        overwrite: Replace an index that is there.
        progress: Called as the build goes on.
        workers: Processes in which the documents of a part with a network are encoded; the index
            is the same for any number; ``None`` for one per GPU where there are several. With more
            than one, a script that calls this needs the guard ``if __name__ == "__main__":``,
            since the processes import it.
        resume: Go on after a build of the same settings that did not end: its rows of learned
            weights are read from the folder beside the index.

    Raises:
        IndexExistsError: There is an index, or another file, and ``overwrite`` is not set.
        indexer.errors.UnfinishedBuildError: A build that did not end has left rows, and
            ``resume`` is not set, or the settings are others.
        indexer.errors.IndexLockedError: Another process is writing there.
        indexer.errors.CorpusError: A record was rejected and ``rejects`` is strict.
    """
    refuse_overwriting(output, overwrite=overwrite)
    with write_lock(output):
        refuse_overwriting(output, overwrite=overwrite)  # another may have built it meanwhile
        current = None
        try:
            current = read_manifest(output)
            remove_unnamed_files(output, current)
        except IndexNotFoundError:
            remove_unnamed_files(output, None)
        except (IndexCorruptError, IncompatibleIndexError):
            pass  # An overwritten index need not be readable; its files go when it is replaced.
        settings = settings or BuildSettings()
        warnings: tuple[str, ...] = ()
        static = None if vectors == "auto" else create_vectors(vectors)
        if spaces is None:
            chosen = choose_encoder(records)
            if vectors == "auto" and chosen.static_vectors:
                static = create_vectors("static")
            spaces, records = create_spaces({DEFAULT_SPACE: chosen.expression}), chosen.records
            warnings = chosen.warnings
        with encoders_at_work(
            output, spaces, settings, vectors=static, workers=workers, resume=resume
        ) as encoding:
            writer = GenerationWriter(
                output,
                encoding.spaces,
                settings,
                progress,
                current,
                fields=dict(fields or {}),
                vectors=encoding.vectors,
            )
            report = writer.write(records, rejects or RejectLog())
        warnings = (*report.warnings, *encoding.warnings, *warnings)
        return dataclasses.replace(report, warnings=warnings)


def add_documents(
    index: str | Path,
    records: Iterable[CorpusRecord | Document],
    *,
    fields: Mapping[str, str] | None = None,
    rejects: RejectLog | None = None,
    replace: bool = False,
    progress: Progress = _silent,
    workers: int | None = 1,
    resume: bool = False,
) -> BuildReport:
    """Adds documents to an index as a new segment, under the specs and scales it has.

    Args:
        index: Directory of the index.
        records: The documents, with distinct ids, or records that tell where these come from.
        fields: Types of metadata fields that are new.
        rejects: Where records go that cannot be indexed.
        replace: A document whose id the index holds replaces it; else it is rejected.
        progress: Called as the work goes on.
        workers: See :func:`build_index`.
        resume: The same.

    Raises:
        indexer.errors.IndexNotFoundError: There is no index.
        indexer.errors.UnfinishedBuildError: See :func:`build_index`.
        indexer.errors.IndexerError: An encoder of the index is not what it was.
    """
    index = Path(index)
    rejects = rejects or RejectLog()
    records = _as_records(records, rejects)
    read_manifest(index)
    with write_lock(index):
        current = read_manifest(index)
        remove_unnamed_files(index, current)
        settings = recorded_settings(index, current)
        spaces = reopen_spaces(current.spaces)
        vectors = reopen_vectors(current.rerank)
        with encoders_at_work(
            index, spaces, settings, vectors=vectors, workers=workers, resume=resume
        ) as encoding:
            writer = GenerationWriter(
                index,
                encoding.spaces,
                settings,
                progress,
                current,
                base=current,
                fields={**(fields or {}), **current.fields},
                replace=replace,
                vectors=encoding.vectors,
            )
            report = writer.write(records, rejects)
        warnings = (*report.warnings, *encoding.warnings, *_unlisted(rejects))
        return dataclasses.replace(report, warnings=warnings)


def delete_documents(index: str | Path, doc_ids: Iterable[str]) -> DeletionReport:
    """Deletes documents: they are marked in their segments, and leave the statistics.

    Args:
        index: Directory of the index.
        doc_ids: Identifiers; those that the index does not hold are counted and left alone.

    Raises:
        indexer.errors.IndexNotFoundError: There is no index.
        TypeError: ``doc_ids`` is a single text.
    """
    if isinstance(doc_ids, str):
        raise TypeError(f"delete_documents takes a list of ids, got the text {doc_ids!r:.80}")
    index = Path(index)
    read_manifest(index)
    with write_lock(index):
        current = read_manifest(index)
        remove_unnamed_files(index, current)
        held = LiveDocuments(index, current)
        wanted = dict.fromkeys(doc_ids)
        found = [doc_id for doc_id in wanted if doc_id in held]
        if found:
            generation = current.generation + 1
            changed = without_documents(index, current, found, generation)
            created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            changed = changed.model_copy(update={"generation": generation, "created_at": created})
            commit_manifest(index, changed)
            remove_unnamed_files(index, changed)
            current = changed
        return DeletionReport(current.generation, len(found), len(wanted) - len(found))


def _unlisted(rejects: RejectLog) -> tuple[str, ...]:
    """What was rejected, as a warning, where no file lists it."""
    return (rejects.render(),) if rejects.total and rejects.path is None else ()


def refuse_overwriting(output: Path, *, overwrite: bool) -> None:
    """Checks that an index may be written at ``output``.

    Raises:
        IndexExistsError: Something is there that must not be replaced.
    """
    if output.is_dir():
        if (output / MANIFEST_NAME).exists():
            if not overwrite:
                raise IndexExistsError(
                    f"{output}: there is an index already. Choose another place with -o, or "
                    "replace it with --overwrite."
                )
        elif not all(path.name in _OWN_NAMES for path in output.iterdir()):
            raise IndexExistsError(
                f"{output}: the directory holds other files. Choose an empty one with -o."
            )
    elif output.exists():
        raise IndexExistsError(f"{output}: a file is in the way. Choose another place with -o.")


_OWN_NAMES = {SEGMENTS, QUERY, LOCK_NAME, f".{MANIFEST_NAME}.new"}
"""What a build that died before its first commit leaves behind."""


def _as_records(
    documents: Iterable[CorpusRecord | Document], rejects: RejectLog
) -> Iterator[CorpusRecord]:
    """Records as they are, and documents given from Python, without repeated or empty ids."""
    seen: set[str] = set()
    for number, document in enumerate(documents, 1):
        if isinstance(document, CorpusRecord):
            yield document
            continue
        if not isinstance(document, Document):
            raise TypeError(f"an index is made of Documents, got {type(document).__name__}")
        for name in ("doc_id", "title", "text"):
            if not isinstance(value := getattr(document, name), str):
                raise TypeError(f"a Document's {name} is a str, got {value!r:.80}")
        problem = None
        if not document.doc_id:
            problem = (RejectReason.NO_ID, "the id is empty")
        elif document.doc_id in seen:
            problem = (RejectReason.REPEATED_ID, f"{document.doc_id!r} came before")
        if problem:
            rejects.add(Reject("<python>", number, *problem, document.doc_id))
            continue
        seen.add(document.doc_id)
        yield CorpusRecord(document, "<python>", number)
