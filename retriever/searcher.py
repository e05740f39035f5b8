"""The searcher: one open index, shared by any number of threads."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from indexer.format.manifest import read_manifest
from kernels.cpu.search import EXACT, Approximation
from retriever.arguments import (
    check_count,
    check_query,
    check_rerank,
    check_threads,
    checked_options,
)
from retriever.description import IndexDescription, describe
from retriever.errors import DocumentNotFoundError, QueryError
from retriever.hits import doc_ids_of
from retriever.query import SparseVector, integer_query
from retriever.ranking import rank
from retriever.results import Results, StoredDocument
from retriever.searching import SearchOptions, live_rows, query_vector, search_snapshot
from retriever.snapshot import open_snapshot


class Searcher:
    """Searches one generation of an index, exactly.

    Ids, order and scores are those of scoring every stored impact; equal scores are ranked by
    order of arrival. Where the index has static vectors, the first documents are then ranked again
    (``retriever.reranking``). Safe to share between threads: a search runs against the snapshot
    that it started with, and holds no lock.

    >>> from indexer.builder import build
    >>> from encoders.base import Document
    >>> _ = build([Document("a", "A red apple"), Document("b", "A green pear")], "fruit.winnow")
    >>> with Searcher("fruit.winnow") as searcher:
    ...     [hit.doc_id for hit in searcher.search("apples").hits]
    ['a']
    """

    def __init__(self, path: str | Path, *, memory_map: bool = True) -> None:
        """Opens an index.

        Args:
            path: Its directory.
            memory_map: Map files instead of reading them into memory.

        Raises:
            indexer.errors.IndexNotFoundError: There is no index.
            indexer.errors.IndexCorruptError: A file is missing or damaged.
            indexer.errors.IncompatibleIndexError: It has another format version.
        """
        self.path = Path(path)
        self._memory_map = memory_map
        self._snapshot = open_snapshot(self.path, memory_map=memory_map)
        self._refreshing = threading.Lock()

    @classmethod
    def open(cls, path: str | Path, *, memory_map: bool = True) -> Self:
        """The same as calling the class."""
        return cls(path, memory_map=memory_map)

    @property
    def generation(self) -> int:
        """Generation of the index that searches see."""
        return self._snapshot.manifest.generation

    def search(
        self,
        query: str | SparseVector,
        k: int = 10,
        *,
        space: str | None = None,
        part_weights: Mapping[str, float] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the word that users expect
        offset: int = 0,
        min_score: float | None = None,
        explain: bool = False,
        highlight: bool = False,
        count_total: bool = False,
        rerank: float | None = None,
        approximation: Approximation = EXACT,
        threads: int = 1,
    ) -> Results:
        """The best documents for a query.

        Args:
            query: Text, or a sparse vector.
            k: Most hits; 0 gives none, more than there are documents gives all that match.
            space: Name of a space; the index's default one otherwise.
            part_weights: Weights of parts in place of the index's own.
            filter: Condition on metadata, see ``retriever.filters``; excludes before ranking.
            offset: Hits to skip.
            min_score: Leave out documents that score less.
            explain: Give each term's share of the score.
            highlight: Give snippets with matches.
            count_total: Count all matching documents, at the cost of reading all postings.
            rerank: Weight of the cosine of static vectors by which the first documents are ranked
                again, in place of the index's own; 0 leaves it out. A query given as a vector of
                weights is never ranked again.
            approximation: Limits that trade recall for time; results are exact without them.
            threads: Threads that share this query, which pays for heavy ones; a query under a
                budget runs on one.

        Raises:
            QueryError: An option is out of range; its subclasses name unknown spaces, parts and
                fields.
        """
        started = time.perf_counter()
        snapshot = self._snapshot
        check_query(query)
        options = SearchOptions(
            k=k,
            space=space,
            part_weights=part_weights,
            filter=filter,
            offset=offset,
            min_score=min_score,
            explain=explain,
            highlight=highlight,
            count_total=count_total,
            rerank=rerank,
            approximation=approximation,
            threads=threads,
        )
        options = checked_options(options, snapshot)
        alive = live_rows(snapshot, options.filter)
        return search_snapshot(snapshot, query, options, alive, started)

    def rank(
        self,
        query: str | SparseVector,
        k: int = 10,
        *,
        space: str | None = None,
        part_weights: Mapping[str, float] | None = None,
        rerank: float | None = None,
    ) -> tuple[list[str], NDArray[np.float64]]:
        """Ids and scores alone, best first: for runs of many hits per query.

        The scores are the integer ones that decide the order, so they never rise along the hits;
        they are within about a millionth of those that :meth:`search` adds up from the weights
        (``retriever.query.integer_query``), which takes longer for many hits than finding them.

        Args:
            query: Text, or a sparse vector.
            k: Most hits.
            space: Name of a space; the index's default one otherwise.
            part_weights: Weights of parts in place of the index's own.
            rerank: As for :meth:`search`.

        Raises:
            QueryError: As for :meth:`search`.
        """
        check_query(query)
        check_count("k", k)
        snapshot = self._snapshot
        check_rerank(rerank, snapshot)
        view = snapshot.space(space)
        terms = integer_query(view.terms(query, part_weights))
        wanted = int(k) if terms.terms else 0
        factor = terms.factor
        vector = query_vector(snapshot, query, rerank) if wanted else None
        if vector is not None and snapshot.reranker is not None:
            depth = max(wanted, snapshot.reranker.entry.depth)
            found = rank(snapshot, view, terms, depth, snapshot.alive)
            ranked, factor = snapshot.reranker.rerank(found, vector, factor)
            ranked = ranked.take(slice(wanted))
        else:
            ranked = rank(snapshot, view, terms, wanted, snapshot.alive)
        return doc_ids_of(snapshot, ranked), ranked.scores / factor

    def search_batch(
        self,
        queries: Sequence[str | SparseVector],
        k: int = 10,
        *,
        threads: int = 1,
        **options: Any,
    ) -> list[Results]:
        """Results of many queries, in order; kernels of different threads run in parallel.

        All see one generation of the index, and a filter is applied once.

        Args:
            queries: Texts or vectors.
            k: Most hits per query.
            threads: Queries at a time, each on one thread.
            **options: As for :meth:`search`.

        Raises:
            QueryError: As for :meth:`search`, or ``queries`` is a single text.
        """
        if isinstance(queries, str):
            raise QueryError(f"search_batch takes a list of queries, got the text {queries!r:.80}.")
        check_threads(threads)
        snapshot = self._snapshot
        options_of_all = checked_options(SearchOptions(k=k, **options), snapshot)
        alive = live_rows(snapshot, options_of_all.filter)

        def answer(query: str | SparseVector) -> Results:
            started = time.perf_counter()
            check_query(query)
            return search_snapshot(snapshot, query, options_of_all, alive, started)

        if threads == 1 or len(queries) < 2:
            return list(map(answer, queries))
        with ThreadPoolExecutor(min(threads, len(queries))) as pool:
            return list(pool.map(answer, queries))

    def document(self, doc_id: str) -> StoredDocument:
        """A stored document.

        Raises:
            DocumentNotFoundError: The index holds none of this id.
        """
        snapshot = self._snapshot
        found = snapshot.locate(doc_id)
        if found is None:
            raise DocumentNotFoundError(f"the index holds no document {doc_id!r:.200}.")
        number, doc_num = found
        store = snapshot.segments[number].documents
        return StoredDocument(
            doc_id, store.title(doc_num), store.text(doc_num), store.metadata(doc_num)
        )

    def documents(self, doc_ids: Sequence[str]) -> list[StoredDocument]:
        """Stored documents, in the order of their ids.

        Raises:
            DocumentNotFoundError: The index does not hold one of them.
        """
        return [self.document(doc_id) for doc_id in doc_ids]

    def description(self) -> IndexDescription:
        """What the index holds."""
        return describe(self._snapshot)

    def refresh(self) -> bool:
        """Moves to the newest generation; ``True`` if that is another one.

        Searches under way finish on the generation they started with.
        """
        with self._refreshing:
            if read_manifest(self.path) == self._snapshot.manifest:
                return False
            self._snapshot = open_snapshot(self.path, memory_map=self._memory_map)
            return True

    def pinned(self) -> Self:
        """A searcher of the present generation, which does not follow a refresh of this one.

        What is asked of it together fits together. It costs nothing, and shares everything.
        """
        pinned = copy.copy(self)
        pinned._refreshing = threading.Lock()
        return pinned

    def warm_up(self) -> None:
        """Makes the first search as fast as the others, by loading the compiled kernels now."""
        for segment in self._snapshot.segments[:1]:
            segment.warm_up()

    def close(self) -> None:
        """Gives up nothing that another thread may use: maps go with the last reference."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_index(path: str | Path, *, memory_map: bool = True) -> Searcher:
    """Opens an index; see :class:`Searcher`."""
    return Searcher(path, memory_map=memory_map)
