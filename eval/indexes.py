"""This engine as a system under evaluation: a built index, or an encoder to build one with."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path

from encoders.expression import parse_expression
from eval.datasets.beir import Dataset
from eval.errors import SystemFailedError
from eval.runs import ScoredDoc
from eval.systems import Setting, SystemDescription
from indexer.builder import build_index
from indexer.corpus.options import CorpusOptions
from indexer.corpus.reader import open_corpus
from indexer.corpus.records import RejectLog
from indexer.progress import show_progress
from indexer.report import BuildReport
from indexer.settings import BuildSettings
from indexer.spaces import DEFAULT_SPACE, create_spaces
from retriever.errors import DocumentNotFoundError
from retriever.searcher import Searcher, open_index

COLLECTION = "{collection}"
"""Placeholder in the path of an index for the name of the collection."""

_CHECKED_DOCUMENTS = 500


class IndexSystem:
    """A built index, or one for each collection."""

    def __init__(
        self,
        path: str,
        name: str | None = None,
        space: str | None = None,
        part_weights: Mapping[str, float] | None = None,
        rerank: float | None = None,
    ) -> None:
        """Names an index; it is opened by ``prepare``.

        Args:
            path: The index directory; ``{collection}`` in it stands for a collection's name.
            name: Heading of its column; by default the directory's name.
            space: Which space to search, by default the index's own choice.
            part_weights: Weights of parts in place of the index's own.
            rerank: Weight of static vectors in place of the index's own; 0 leaves them out.
        """
        default = Path(path.replace(COLLECTION, "")).name.removesuffix(".winnow").strip("-_.")
        self.name = name or default or "index"
        self._path = path
        self._search = _Search(space, part_weights, rerank)

    def prepare(self, dataset: Dataset) -> None:
        """Opens the index and checks that it is one of this collection."""
        self.close()
        self._search.open(Path(self._path.replace(COLLECTION, dataset.name)))
        self._search.check_holds(dataset)

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[ScoredDoc]]:
        """Searches the queries one after another, in one thread."""
        return self._search.run(queries, k)

    def description(self) -> SystemDescription:
        """Encoders and weights of the space searched."""
        return self._search.description()

    def close(self) -> None:
        """Closes the index."""
        self._search.close()


class EncoderSystem:
    """An encoder: each collection is indexed with it in a temporary folder."""

    def __init__(
        self,
        expression: str,
        name: str | None = None,
        settings: BuildSettings | None = None,
        quiet: bool = True,
        vectors: str = "none",
        rerank: float | None = None,
    ) -> None:
        """Reads the expression; nothing is loaded yet.

        Args:
            expression: Such as ``english-bm25 + 0.5*splade:DIR``.
            name: Heading of its column; by default the expression with directories shortened to
                their last name.
            settings: Passages and memory of the build.
            quiet: Show no progress of the build.
            vectors: Static vectors of the build: as ``indexer build --vectors`` takes them.
            rerank: Their weight in place of their own; 0 leaves them out.

        Raises:
            encoders.errors.ExpressionError: It is not an expression.
        """
        self.name = name or _short_name(expression)
        self._expression = expression
        self._settings = settings or BuildSettings()
        self._quiet = quiet
        self._vectors = vectors
        self._search = _Search(rerank=rerank)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._build_seconds = 0.0
        self._notes: tuple[str, ...] = ()

    def prepare(self, dataset: Dataset) -> None:
        """Builds and opens the index of a collection."""
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="winnow-eval-")
        path = Path(self._folder.name) / f"{dataset.name}.winnow"
        started = time.perf_counter()
        with RejectLog() as rejects:
            corpus = open_corpus(dataset.path, CorpusOptions(), rejects)
            with show_progress(corpus, quiet=self._quiet) as progress:
                report = build_index(
                    corpus,
                    path,
                    create_spaces({DEFAULT_SPACE: self._expression}),
                    settings=self._settings,
                    rejects=rejects,
                    vectors=self._vectors,
                    progress=progress,
                )
        self._build_seconds = time.perf_counter() - started
        self._notes = _build_notes(report)
        self._search.open(path)

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[ScoredDoc]]:
        """Searches the queries one after another, in one thread."""
        return self._search.run(queries, k)

    def description(self) -> SystemDescription:
        """Encoders and weights, and what the build reported."""
        return self._search.description(self._build_seconds, self._notes)

    def close(self) -> None:
        """Closes and removes the index."""
        self._search.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def check_index_holds(searcher: Searcher, dataset: Dataset) -> tuple[str, ...]:
    """Checks a sample of the judged relevant documents.

    Returns:
        A note if the index lacks some of them.

    Raises:
        SystemFailedError: It lacks all: it is an index of another collection.
    """
    relevant = (
        doc_id
        for judged in dataset.qrels.values()
        for doc_id, relevance in judged.items()
        if relevance > 0
    )
    sample = list(dict.fromkeys(islice(relevant, _CHECKED_DOCUMENTS)))
    missing = [doc_id for doc_id in sample if not _holds(searcher, doc_id)]
    if sample and len(missing) == len(sample):
        raise SystemFailedError(
            f"the index {searcher.path} holds none of {len(sample)} relevant documents of "
            f"{dataset.name}, such as {sample[0]!r}; give an index of this collection"
        )
    if not missing:
        return ()
    note = (
        f"the index lacks {len(missing)} of {len(sample)} relevant documents of {dataset.name}, "
        f"such as {missing[0]!r}"
    )
    return (note,)


def _holds(searcher: Searcher, doc_id: str) -> bool:
    try:
        searcher.document(doc_id)
    except DocumentNotFoundError:
        return False
    return True


class _Search:
    """Searching an open index, with what decides the rankings."""

    def __init__(
        self,
        space: str | None = None,
        part_weights: Mapping[str, float] | None = None,
        rerank: float | None = None,
    ) -> None:
        self._space = space
        self._part_weights = part_weights
        self._rerank = rerank
        self._searcher: Searcher | None = None
        self._seconds: float | None = None
        self._notes: tuple[str, ...] = ()
        self._settings: dict[str, Setting] = {}

    def open(self, path: Path) -> None:
        self._searcher = open_index(path)
        self._notes = ()

    def check_holds(self, dataset: Dataset) -> None:
        self._notes = check_index_holds(self._opened, dataset)

    def run(self, queries: Mapping[str, str], k: int) -> dict[str, list[ScoredDoc]]:
        searcher = self._opened
        search = partial(
            searcher.rank,
            k=k,
            space=self._space,
            part_weights=self._part_weights,
            rerank=self._rerank,
        )
        for text in islice(queries.values(), 1):
            search(text)  # loads the compiled kernels, which is no part of searching
        started = time.perf_counter()
        found = [search(text) for text in queries.values()]
        self._seconds = time.perf_counter() - started
        self._settings = self._describe_space()
        return {
            query_id: list(zip(doc_ids, scores.tolist(), strict=True))
            for query_id, (doc_ids, scores) in zip(queries, found, strict=True)
        }

    def description(
        self, build_seconds: float | None = None, notes: tuple[str, ...] = ()
    ) -> SystemDescription:
        return SystemDescription(
            settings=self._settings,
            notes=(*notes, *self._notes),
            build_seconds=build_seconds,
            search_seconds=self._seconds,
        )

    def close(self) -> None:
        if self._searcher is not None:
            self._searcher.close()
            self._searcher = None

    @property
    def _opened(self) -> Searcher:
        if self._searcher is None:
            raise SystemFailedError("search before prepare")
        return self._searcher

    def _describe_space(self) -> dict[str, Setting]:
        described = self._opened.description()
        name = self._space or described.default_space
        weights = dict(self._part_weights or {})
        parts = [
            f"{weights.get(part.name, part.weight):g}*{_shortened(*part.encoder.split(':', 1))}"
            for part in described.spaces[name].parts
        ]
        settings: dict[str, Setting] = {
            "encoder": " + ".join(parts),
            "index format": described.format_version,
        }
        if described.rerank is not None and self._rerank != 0:
            weight = described.rerank.weight if self._rerank is None else self._rerank
            vectors = described.rerank.short_name
            settings["vectors"] = f"{weight:g}*{vectors}, first {described.rerank.depth}"
        return settings


def _short_name(expression: str) -> str:
    """An expression in which each directory is shortened to its last name."""
    names = []
    for part in parse_expression(expression):
        weight = "" if part.weight == 1 else f"{part.weight:g}*"
        names.append(weight + _shortened(part.name, part.argument))
    return " + ".join(names)


def _shortened(encoder: str, argument: str | None = None) -> str:
    return f"{encoder}:{Path(argument).name}" if argument else encoder


def _build_notes(report: BuildReport) -> tuple[str, ...]:
    notes = list(report.warnings)
    if report.rejected_count:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.rejected.items())
        notes.append(f"{report.rejected_count} records were not indexed: {reasons}")
    truncated = sum(part.truncated for part in report.parts)
    if truncated:
        notes.append(f"the encoder read only the beginning of {truncated} passages")
    return tuple(notes)
