"""Encoders while an index is written: in processes of their own, their rows kept until the commit.

Beside the index ``INDEX`` stands the folder ``INDEX.encoding`` with the rows of each batch. It goes
with the commit; after a build that did not end, the next one reads what is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.base import DocumentEncoder, StatisticalEncoder
from encoders.dense_vectors import DenseVectors
from encoders.document_vectors import DocumentVectors
from encoders.row_cache import ROWS, RowCache, VectorCache, fits_row_cache
from indexer.corpus.layout import ENCODING_SUFFIX
from indexer.draft import Spaces
from indexer.errors import UnfinishedBuildError
from indexer.report import EncodingReport
from indexer.settings import BATCH_CHARACTERS, BATCH_DOCUMENTS, BuildSettings
from indexer.spaces import SpacePart

RECORD = "build.json"


@dataclass(frozen=True)
class Encoding:
    """Spaces with the encoders at work.

    Attributes:
        spaces: As they were asked for, with encoders of equal rows.
        vectors: As they were asked for, or kept as they are made.
        warnings: What a user should know.
    """

    spaces: Spaces
    vectors: DocumentVectors | None
    warnings: tuple[str, ...] = ()


def encoding_directory(index: Path) -> Path:
    """Where a build keeps what it has encoded: beside the index."""
    return index.absolute().with_name(index.name + ENCODING_SUFFIX)


@contextlib.contextmanager
def encoders_at_work(
    index: Path,
    spaces: Spaces,
    settings: BuildSettings,
    *,
    vectors: DocumentVectors | None = None,
    workers: int | None,
    resume: bool,
) -> Iterator[Encoding]:
    """Spaces whose learned parts are encoded in processes, with their rows kept.

    The processes end with the block. The rows are deleted if it ends well, else they stay. The
    caller holds the index's lock.

    Args:
        index: Directory of the index.
        spaces: Encoders per space.
        settings: Those that decide the batches.
        vectors: What gives passages vectors; those of a network are kept, too.
        workers: Processes per part with a network; 1 encodes in this process, ``None`` makes one
            per GPU where there are several.
        resume: Read the rows that a build that did not end has left.

    Raises:
        UnfinishedBuildError: There are such rows and ``resume`` is not set, or they come from
            other settings.
    """
    directory: Path | None = encoding_directory(index)
    _refuse_unfinished(encoding_directory(index), resume=resume)
    warnings: tuple[str, ...] = ()
    try:
        _write_record(encoding_directory(index), spaces, vectors, settings)
    except OSError as error:
        warning = f"{directory} cannot be written ({error.strerror}): nothing was kept for --resume"
        warnings = (warning,)
        directory = None
    with contextlib.ExitStack() as stack:
        at_work = {
            space: tuple(_at_work(part, directory, workers, stack) for part in parts)
            for space, parts in spaces.items()
        }
        try:
            yield Encoding(at_work, _kept(vectors, directory), warnings)
        except BaseException:
            if directory is not None and not any(directory.glob(ROWS)):
                _remove(directory)
            raise
        if directory is not None:
            _remove(directory)


def _kept(vectors: DocumentVectors | None, directory: Path | None) -> DocumentVectors | None:
    """Vectors that are kept if a network makes them."""
    if directory is None or not isinstance(vectors, DenseVectors):
        return vectors
    return VectorCache(vectors, directory)


def report_encoding(
    encoder: DocumentEncoder, passages: int, seconds: float
) -> EncodingReport | None:
    """What encoding a part cost; ``None`` where weights are a function of counts.

    Args:
        encoder: As :func:`encoders_at_work` gave it.
        passages: Passages of this run.
        seconds: Time in which its rows were made or read.
    """
    found = 0
    if isinstance(encoder, RowCache):
        found, encoder = encoder.found, encoder.encoder
    if isinstance(encoder, StatisticalEncoder):
        return None
    encoded = passages - found
    return EncodingReport(
        passages=encoded,
        found=found,
        seconds=seconds,
        passages_per_second=encoded / seconds if seconds else 0.0,
        padding=getattr(getattr(encoder, "workload", None), "waste", None),
        repeated=getattr(encoder, "repeated", 0),
    )


def report_vectors(
    vectors: DocumentVectors | None, passages: int, seconds: float
) -> EncodingReport | None:
    """What vectors cost; ``None`` where no network makes them.

    Args:
        vectors: As :func:`encoders_at_work` gave them.
        passages: Passages of this run.
        seconds: Time in which their vectors were made or read.
    """
    found = vectors.found if isinstance(vectors, VectorCache) else 0
    if not isinstance(vectors, DenseVectors | VectorCache):
        return None
    encoded = passages - found
    return EncodingReport(encoded, found, seconds, encoded / seconds if seconds else 0.0)


def _at_work(
    part: SpacePart, directory: Path | None, workers: int | None, stack: contextlib.ExitStack
) -> SpacePart:
    encoder = part.encoder
    if workers != 1 and not isinstance(encoder, StatisticalEncoder):
        from encoders.parallel import ParallelEncoder, in_processes

        expression = part.expression
        encoder = in_processes(encoder, expression.name, expression.argument, workers)
        if isinstance(encoder, ParallelEncoder):
            stack.enter_context(encoder)
    if directory is not None and fits_row_cache(encoder):
        encoder = RowCache(encoder, directory)
    return SpacePart(part.expression, encoder)


def _refuse_unfinished(directory: Path, *, resume: bool) -> None:
    """Checks that rows may be kept in a folder.

    Raises:
        UnfinishedBuildError: A build that did not end has left rows there and ``resume`` is not
            set, or the folder is somebody else's.
    """
    if not directory.exists():
        return
    if not directory.is_dir() or not all(_is_own(path) for path in directory.iterdir()):
        raise UnfinishedBuildError(
            f"{directory}: is in the way, a build keeps there what it has encoded. Move it, or "
            "choose another place with -o."
        )
    if not resume and any(directory.glob(ROWS)):
        raise UnfinishedBuildError(
            f"{directory}: holds what a build that did not end has encoded. Go on with --resume, "
            "or delete this folder to start afresh."
        )


def _write_record(
    directory: Path, spaces: Spaces, vectors: DocumentVectors | None, settings: BuildSettings
) -> None:
    """Writes what decides batches and rows, or compares it with what was written before.

    Raises:
        UnfinishedBuildError: It differs.
        OSError: The folder cannot be written.
    """
    encoders = {
        f"{space}.{part.name}": part
        for space, parts in spaces.items()
        for part in parts
        if fits_row_cache(part.encoder) or part.encoder.spec.max_length is not None
    }
    path = directory / RECORD
    is_dense = isinstance(vectors, DenseVectors)
    if not encoders and not is_dense and not directory.exists():
        return
    record: dict[str, Any] = {
        "split": settings.split,
        "passage_tokens": settings.passage_tokens,
        "batch_documents": BATCH_DOCUMENTS,
        "batch_characters": BATCH_CHARACTERS,
    }
    for key, part in encoders.items():
        record[f"argument of {key}"] = part.expression.argument
        record[f"batch_tokens of {key}"] = getattr(part.encoder, "batch_tokens", None)
        for name, value in dataclasses.asdict(part.encoder.spec).items():
            settings_of = value if isinstance(value, dict) else {name: value}
            record |= {f"{setting} of {key}": value for setting, value in settings_of.items()}
    if vectors is not None and is_dense:
        record |= {"vectors": vectors.argument, "content of vectors": vectors.content_hash}
    if any(directory.glob(ROWS)):
        _compare(path, record)
        return
    directory.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".writing")
    written.write_text(json.dumps(record, indent=1))
    written.replace(path)


def _compare(path: Path, record: dict[str, Any]) -> None:
    remedy = f"Give the same settings, or delete {path.parent} to start afresh."
    try:
        recorded = json.loads(path.read_bytes())
        names = list({**recorded, **record})
    except (OSError, ValueError):
        raise UnfinishedBuildError(
            f"{path}: does not say with which settings the build began that did not end. "
            f"Delete {path.parent} to start afresh."
        ) from None
    for name in names:
        if recorded.get(name) != record.get(name):
            raise UnfinishedBuildError(
                f"{path.parent}: holds what a build that did not end has encoded with {name} "
                f"{recorded.get(name)!r}; this one has {record.get(name)!r}. {remedy}"
            )


def _is_own(path: Path) -> bool:
    return path.name == RECORD or path.suffix in (Path(ROWS).suffix, ".writing")


def _remove(directory: Path) -> None:
    """Deletes the folder; what is not ours stays."""
    if directory.is_dir():
        for path in directory.iterdir():
            if _is_own(path):
                path.unlink()
        with contextlib.suppress(OSError):
            directory.rmdir()
