"""A full check of an index: every byte against its checksum, every structure by opening it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from indexer.errors import IndexCorruptError
from indexer.format.commit import describe_file
from indexer.format.manifest import read_manifest
from indexer.format.segment import Segment


@dataclass(frozen=True)
class Verification:
    """Result of a check.

    Attributes:
        generation: The generation checked.
        files: Number of files read.
        size_bytes: Their size.
        problems: (path relative to the index, what is wrong) of each damaged file.
    """

    generation: int
    files: int
    size_bytes: int
    problems: tuple[tuple[str, str], ...]


def verify(index: Path) -> Verification:
    """Reads every file of the current generation and compares it with its checksum.

    Raises:
        indexer.errors.IndexNotFoundError: There is no index.
        indexer.errors.IndexCorruptError: The manifest itself is damaged.
        indexer.errors.IncompatibleIndexError: It has another format version.
    """
    manifest = read_manifest(index)
    files = manifest.all_files()
    problems = []
    for name, expected in files.items():
        try:
            found = describe_file(index / name)
        except OSError as error:
            problems.append((name, error.strerror or "cannot be read"))
            continue
        if found.size != expected.size:
            problems.append((name, f"{found.size} bytes, expected {expected.size}"))
        elif found.xxh3 != expected.xxh3:
            problems.append((name, "its content does not match its checksum"))
    if not problems:
        for entry in manifest.segments:
            try:
                _ = Segment(index, entry, manifest.spaces).documents
            except IndexCorruptError as error:
                inside = error.path.is_relative_to(index)
                place = error.path.relative_to(index) if inside else error.path
                problems.append((str(place), error.reason))
    size = sum(entry.size for entry in files.values())
    return Verification(manifest.generation, len(files), size, tuple(problems))
