"""Collections in BEIR layout: corpus, queries and judgements in one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from encoders.base import Document
from eval.datasets.files import COMPRESSIONS, find_file, open_text
from eval.datasets.qrels import Qrels, read_qrels
from eval.errors import DatasetError, SplitError

_QRELS_SUFFIXES = (".tsv", ".txt", ".qrels")


@dataclass(frozen=True)
class Dataset:
    """A test collection: documents, and one split's judged queries.

    Attributes:
        name: Name of the folder.
        path: The folder.
        split: Name of the qrels file, without suffix.
        queries: Text by query id, only the judged ones, in the order of the qrels.
        qrels: Judgements of the split.
        queries_without_text: Judged queries that the queries file lacks. They cannot be
            searched, and count as 0 like every judged query that a run misses.
    """

    name: str
    path: Path
    split: str
    queries: Mapping[str, str]
    qrels: Qrels
    queries_without_text: tuple[str, ...] = ()

    def documents(self) -> Iterator[Document]:
        """Reads the corpus, one document at a time, in the order of the file.

        Raises:
            DatasetError: There is no corpus file, or a record has no ``_id`` or a field that
                is not a string.
        """
        path = _existing(self.path, "corpus.jsonl")
        for place, record in _records(path):
            title, text = record.get("title") or "", record.get("text") or ""
            if not isinstance(title, str) or not isinstance(text, str):
                raise DatasetError(f"{place}: 'title' and 'text' must be strings")
            yield Document(_record_id(place, record), text=text, title=title)


def open_dataset(path: Path | str, split: str | None = None) -> Dataset:
    """Opens a folder ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``.

    Each file may be compressed (``.gz``, ``.xz``, ``.zst``). Queries and judgements are read
    here; the corpus is read by ``Dataset.documents`` only.

    Args:
        path: The folder.
        split: Which file of ``qrels/`` to use; by default ``test``, or the only one.

    Raises:
        DatasetError: A file is missing or cannot be read.
        SplitError: There is no such split, or several and none of them is ``test``.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; give a collection in BEIR layout")
    splits = available_splits(folder)
    chosen = _choose_split(folder, splits, split)
    qrels = read_qrels(splits[chosen])
    texts = read_queries(_existing(folder, "queries.jsonl"))
    queries = {query_id: texts[query_id] for query_id in qrels if query_id in texts}
    if not queries:
        raise DatasetError(
            f"{folder}: none of the {len(qrels)} query ids of qrels/{chosen} is in the queries "
            f"file (first of the qrels: {next(iter(qrels))!r}); are they of the same collection?"
        )
    without_text = tuple(query_id for query_id in qrels if query_id not in texts)
    name = folder.resolve().name
    return Dataset(name, folder, chosen, queries, qrels, without_text)


def available_splits(folder: Path) -> dict[str, Path]:
    """The qrels files of a collection by name of the split, sorted."""
    found: dict[str, Path] = {}
    for path in sorted((folder / "qrels").glob("*")):
        for suffix in (s + c for s in _QRELS_SUFFIXES for c in COMPRESSIONS):
            if path.name.endswith(suffix) and path.is_file():
                found.setdefault(path.name.removesuffix(suffix), path)
    return found


def read_queries(path: Path) -> dict[str, str]:
    """Reads ``{"_id": ..., "text": ...}`` lines.

    Raises:
        DatasetError: A record has no id or no text, or an id occurs twice.
    """
    queries: dict[str, str] = {}
    for place, record in _records(path):
        query_id, text = _record_id(place, record), record.get("text")
        if not isinstance(text, str):
            raise DatasetError(f"{place}: 'text' must be a string, got {text!r}")
        if query_id in queries:
            raise DatasetError(f"{place}: the query id {query_id!r} occurs twice")
        queries[query_id] = text
    return queries


def _choose_split(folder: Path, splits: Mapping[str, Path], split: str | None) -> str:
    if not splits:
        raise SplitError(f"{folder} has no qrels/<split>.tsv: there are no judgements")
    choices = ", ".join(splits)
    if split is not None:
        if split not in splits:
            raise SplitError(f"{folder} has no split {split!r}; choose one of: {choices}")
        return split
    if "test" in splits:
        return "test"
    if len(splits) > 1:
        raise SplitError(f"{folder} has several splits and no 'test'; choose one of: {choices}")
    return next(iter(splits))


def _existing(folder: Path, name: str) -> Path:
    path = find_file(folder, name)
    if path is None:
        raise DatasetError(
            f"{folder} has no {name} (nor {name}.gz, .xz, .zst); give a collection in BEIR layout"
        )
    return path


def _records(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yields (where, record) of each line; ``where`` opens an error message."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except ValueError as error:
                raise DatasetError(f"{place} is not JSON: {error}") from error
            if not isinstance(record, dict):
                raise DatasetError(f"{place}: expected a JSON object, got {line.strip()[:60]!r}")
            yield place, record


def _record_id(place: str, record: Mapping[str, object]) -> str:
    value = record.get("_id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise DatasetError(f"{place}: '_id' must be a non-empty string, got {value!r}")
    return value
