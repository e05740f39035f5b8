"""Which files of a folder are the corpus.

A folder is searched recursively, in the order of its sorted paths. Only files of one kind are
read, the first of these that the folder holds:

1. BEIR: files named ``corpus.jsonl``; queries and qrels are never read;
2. JSON lines (``.jsonl``, ``.ndjson``, ``.json``);
3. Parquet and Arrow (``.parquet``, ``.pq``, ``.arrow``, ``.feather``, ``.ipc``);
4. CSV and TSV (``.csv``, ``.tsv``, ``.tab``);
5. text files (``.txt``, ``.text``, ``.md``, ``.markdown``, ``.html``, ``.htm``, ``.xhtml``).

Each may be compressed (``.gz``, ``.xz``, ``.zst``); a compressed file is passed over where its
uncompressed twin stands beside it. Hidden files and folders are skipped, and so are Winnow indexes
and what a build leaves beside them: its rejects and the rows of one that did not end.
What is passed over is kept for the description of the corpus.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from indexer.corpus.options import CorpusFormat
from indexer.corpus.sniffing import sniff_format
from indexer.corpus.streams import (
    COMPRESSED_SUFFIXES,
    ByteCount,
    DamagedStreamError,
    as_utf8,
    open_bytes,
)
from indexer.errors import CorpusError

SUFFIXES = {
    CorpusFormat.JSONL: (".jsonl", ".ndjson", ".json"),
    CorpusFormat.PARQUET: (".parquet", ".pq"),
    CorpusFormat.ARROW: (".arrow", ".feather", ".ipc"),
    CorpusFormat.CSV: (".csv",),
    CorpusFormat.TSV: (".tsv", ".tab"),
    CorpusFormat.TEXT: (".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml"),
}
_FORMATS = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}

PRECEDENCE = (
    (CorpusFormat.BEIR,),
    (CorpusFormat.JSONL,),
    (CorpusFormat.PARQUET, CorpusFormat.ARROW),
    (CorpusFormat.CSV, CorpusFormat.TSV),
    (CorpusFormat.TEXT,),
)

REJECTS_SUFFIX = ".rejects.jsonl"
"""Of the file beside an index that lists what a build rejected."""

ENCODING_SUFFIX = ".encoding"
"""Of the folder beside an index that holds the rows of a build until its commit."""

NOT_THE_FORMAT = "not of the format that is read"


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to read.

    Attributes:
        path: Where it is; ``None`` for standard input.
        name: Posix path relative to the corpus folder, or the file's name.
        format: How to read it.
        size: Bytes on disk; 0 for standard input.
        stream: Standard input, opened already.
    """

    path: Path | None
    name: str
    format: CorpusFormat
    size: int = 0
    stream: io.BufferedReader | None = None

    @property
    def shown(self) -> str:
        """The path for messages and records."""
        return "-" if self.path is None else str(self.path)

    def open(self, count: ByteCount) -> io.BufferedReader:
        """Decompressed bytes of the file, UTF-8 if a byte order mark tells of text.

        Raises:
            OSError: The file cannot be opened.
            DamagedStreamError: Its compression is damaged.
        """
        return self.stream or as_utf8(open_bytes(self.path, count))


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a corpus, and the names of others by the reason to pass them over."""

    format: CorpusFormat
    files: tuple[InputFile, ...]
    passed_over: dict[str, list[str]] = field(default_factory=dict)


def plain_name(name: str) -> str:
    """A file's name without the suffix of its compression.

    >>> plain_name("a/corpus.jsonl.gz")
    'a/corpus.jsonl'
    """
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - names are posix strings here
    return stem if suffix.lower() in COMPRESSED_SUFFIXES else name


def find_layout(source: str | Path, required: CorpusFormat | None, count: ByteCount) -> Layout:
    """The files to read.

    Args:
        source: A folder, a file, or ``-`` for standard input.
        required: Read only this format.
        count: Gets the bytes read from standard input.

    Raises:
        CorpusError: There is nothing to read.
    """
    if str(source) == "-":
        kind, stream = _sniffed(InputFile(None, "-", CorpusFormat.JSONL), required, count)
        return Layout(kind, (InputFile(None, "-", kind, stream=stream),))
    path = Path(source)
    if path.is_dir():
        return _folder_layout(path, required)
    if not path.exists():
        raise CorpusError(
            f"{path}: no such file or folder. Name a corpus, or - for standard input."
        )
    if not os.access(path, os.R_OK):
        raise CorpusError(f"{path}: no permission to read it.")
    known = required or _format_of(path.name)
    if known is None:
        file = InputFile(path, path.name, CorpusFormat.JSONL)
        known, stream = _sniffed(file, None, ByteCount())
        stream.close()
    return Layout(known, (InputFile(path, path.name, known, path.stat().st_size),))


def _sniffed(
    file: InputFile, required: CorpusFormat | None, count: ByteCount
) -> tuple[CorpusFormat, io.BufferedReader]:
    try:
        stream = file.open(count)
        kind = required or sniff_format(stream.peek(1))
    except (OSError, DamagedStreamError) as error:
        raise CorpusError(f"{file.shown}: it cannot be read: {error}.") from None
    if kind is None:
        stream.close()
        raise CorpusError(
            f"{file.shown}: the format cannot be told from the name or the first line. "
            f"Name it with --format: {', '.join(CorpusFormat)}."
        )
    return kind, stream


def _format_of(name: str) -> CorpusFormat | None:
    return _FORMATS.get(PurePosixPath(plain_name(name)).suffix.lower())


def _folder_layout(root: Path, required: CorpusFormat | None) -> Layout:
    passed_over: dict[str, list[str]] = {}
    found: dict[CorpusFormat, list[tuple[str, Path]]] = {}
    names = dict(_walk(root, passed_over))
    for name, path in names.items():
        kind = _format_of(name)
        plain = plain_name(name)
        if kind is None:
            _pass_over(passed_over, "of no known format", name)
        elif not path.is_file():
            _pass_over(passed_over, "not a regular file", name)
        elif plain != name and plain in names:
            _pass_over(passed_over, "uncompressed beside it", name)
        elif plain.rpartition("/")[2] == "corpus.jsonl" and required in (None, CorpusFormat.BEIR):
            found.setdefault(CorpusFormat.BEIR, []).append((name, path))
        elif _is_queries(plain, path):
            _pass_over(passed_over, "BEIR queries, never indexed", name)
        else:
            found.setdefault(kind, []).append((name, path))
    groups = ((required,),) if required else PRECEDENCE
    chosen = next((group for group in groups if any(kind in found for kind in group)), None)
    if chosen is None:
        raise CorpusError(_nothing_found(root, required, found, passed_over))
    files = []
    for kind, entries in found.items():
        for name, path in entries:
            if kind in chosen:
                files.append(InputFile(path, name, kind, path.stat().st_size))
            else:
                _pass_over(passed_over, NOT_THE_FORMAT, name)
    files.sort(key=lambda file: file.name)
    first = next(kind for kind in chosen if kind in found)
    return Layout(first, tuple(files), passed_over)


def _walk(root: Path, passed_over: dict[str, list[str]]) -> Iterator[tuple[str, Path]]:
    """Names and paths of all files, sorted by folder; links to folders are followed once."""
    seen = {(root.stat().st_dev, root.stat().st_ino)}

    def refuse(error: OSError) -> None:
        _pass_over(passed_over, "cannot be listed", _relative(Path(error.filename), root))

    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        kept = []
        for name in sorted(folders):
            path = Path(folder, name)
            identity = (path.stat().st_dev, path.stat().st_ino)
            if name.startswith("."):
                _pass_over(passed_over, "hidden", _relative(path, root) + "/")
            elif _is_index(path):
                _pass_over(passed_over, "a Winnow index", _relative(path, root) + "/")
            elif name.endswith(ENCODING_SUFFIX) and (path / "build.json").exists():
                _pass_over(passed_over, "rows of a build", _relative(path, root) + "/")
            elif identity in seen:
                _pass_over(passed_over, "a link to a folder read already", _relative(path, root))
            else:
                seen.add(identity)
                kept.append(name)
        folders[:] = kept
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith("."):
                _pass_over(passed_over, "hidden", _relative(path, root))
            elif name.endswith(REJECTS_SUFFIX):
                _pass_over(passed_over, "rejects of a build", _relative(path, root))
            else:
                yield _relative(path, root), path


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _is_index(folder: Path) -> bool:
    if folder.suffix == ".winnow":
        return True
    try:
        with (folder / "manifest.json").open("rb") as file:
            return b'"winnow-index"' in file.read(1 << 24)
    except OSError:
        return False


def _is_queries(plain: str, path: Path) -> bool:
    """Whether a file is BEIR's queries or qrels."""
    if path.parent.name == "qrels" and plain.endswith(".tsv"):
        return True
    return plain.rpartition("/")[2] == "queries.jsonl" and (path.parent / "qrels").is_dir()


def _pass_over(passed_over: dict[str, list[str]], reason: str, name: str) -> None:
    passed_over.setdefault(reason, []).append(name)


def _nothing_found(
    root: Path,
    required: CorpusFormat | None,
    found: dict[CorpusFormat, list[tuple[str, Path]]],
    passed_over: dict[str, list[str]],
) -> str:
    what = f"{required} files" if required else "files of a known format"
    others = [name for entries in found.values() for name, _ in entries]
    others += [name for names in passed_over.values() for name in names]
    listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
    known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    return (
        f"{root}: no {what} in this folder (found: {listed or 'nothing'}). "
        f"Known: a BEIR folder, {known}, each also with .gz, .xz or .zst."
    )
