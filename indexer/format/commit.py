"""Durable, atomic commits and the writer's lock.

Order of a commit: new files are written and synced, then their directories, then the manifest as
a temporary file, synced, renamed over the old one, and the directory synced. A crash at any
instant leaves the old generation or the new one. Files that no manifest names are removed by the
next writer.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import xxhash

from indexer.errors import IndexerError, IndexLockedError
from indexer.format.manifest import MANIFEST_NAME, FileEntry, Manifest, read_manifest, serialise

LOCK_NAME = "write.lock"
SEGMENTS = "segments"
QUERY = "query"


def sync_file(path: Path) -> None:
    """Flushes a file's data to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Flushes a directory's entries to the disk."""
    sync_file(path)


def describe_file(path: Path) -> FileEntry:
    """Size and checksum of a file, read in pieces."""
    digest = xxhash.xxh3_64()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return FileEntry(size=size, xxh3=digest.hexdigest())


def seal_directory(directory: Path) -> dict[str, FileEntry]:
    """Syncs all files of a finished directory and describes them by name."""
    entries: dict[str, FileEntry] = {}
    for path in sorted(directory.iterdir()):
        sync_file(path)
        entries[path.name] = describe_file(path)
    sync_directory(directory)
    sync_directory(directory.parent)
    return entries


def commit_manifest(index: Path, manifest: Manifest) -> None:
    """Makes a manifest the current one. All files it names must be sealed already."""
    temporary = index / f".{MANIFEST_NAME}.new"
    with temporary.open("wb") as file:
        file.write(serialise(manifest))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(index / MANIFEST_NAME)
    sync_directory(index)


def remove_unnamed_files(index: Path, manifest: Manifest | None) -> None:
    """Deletes what a crashed writer or an older generation left behind.

    Readers keep files of their snapshot open, so that deleting them disturbs nobody.
    """
    named = {"segments": set[str](), "query": set[str]()}
    files = manifest.all_files() if manifest else {}
    segments = {segment.name for segment in manifest.segments} if manifest else set()
    for name in files:
        top, _, rest = name.partition("/")
        named.setdefault(top, set()).add(rest)
    (index / f".{MANIFEST_NAME}.new").unlink(missing_ok=True)
    for directory in _children(index / SEGMENTS):
        if directory.name not in segments:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            for path in _children(directory):
                if f"{directory.name}/{path.name}" not in named[SEGMENTS]:
                    path.unlink(missing_ok=True)
    for path in _children(index / QUERY):
        if path.name not in named[QUERY]:
            path.unlink(missing_ok=True)


def last_generation(index: Path) -> int:
    """The highest generation that names a segment in this directory, 0 if none does."""
    names = [re.match(r"g(\d+)-", path.name) for path in _children(index / SEGMENTS)]
    return max((int(name[1]) for name in names if name), default=0)


def _children(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


@contextlib.contextmanager
def write_lock(index: Path) -> Iterator[None]:
    """Holds the index's one writer's lock; a writer that fails leaves the last generation only.

    The lock is the operating system's, so that it goes when its owner dies. The directory is made
    if it is missing, and removed again if nothing was committed.

    Raises:
        IndexLockedError: Another process holds it.
        IndexerError: The directory cannot be written to.
    """
    made = [path for path in (index, *index.parents) if not path.exists()]
    with _acquire(index) as file:
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
        file.flush()
        try:
            yield
        except BaseException:
            _discard_unfinished(index, made)
            raise


def _acquire(index: Path) -> TextIO:
    path = index / LOCK_NAME
    while True:
        try:
            index.mkdir(parents=True, exist_ok=True)
            file = path.open("a+")
        except OSError as error:
            raise IndexerError(f"{index}: cannot write an index here ({error.strerror}).") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The owner before may have deleted the file between our opening and our locking it.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
            file.close()
        except BlockingIOError:
            with file:
                file.seek(0)
                owner = file.read().strip() or "an unknown process"
            raise IndexLockedError(
                f"{index}: another process is writing to this index ({owner}). "
                "Wait for it to finish, or stop it; the lock goes with its process."
            ) from None
        except OSError as error:
            file.close()
            raise IndexerError(f"{path}: cannot be locked ({error.strerror}).") from None


def _discard_unfinished(index: Path, made: Sequence[Path]) -> None:
    """Deletes what no generation names, and directories made for an index that was not to be."""
    if (index / MANIFEST_NAME).exists():
        with contextlib.suppress(IndexerError):  # it was broken before
            remove_unnamed_files(index, read_manifest(index))
        return
    remove_unnamed_files(index, None)
    (index / LOCK_NAME).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files
        for directory in (index / SEGMENTS, index / QUERY):
            if directory.exists():
                directory.rmdir()
        for directory in made:
            directory.rmdir()
