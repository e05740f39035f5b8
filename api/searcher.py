"""What the server needs of an open index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kernels.cpu.search import EXACT, Approximation
from retriever.query import SparseVector
from retriever.results import Results, StoredDocument


class SearcherLike(Protocol):
    """An open index as ``retriever.searcher.Searcher`` is one; shared by threads."""

    @property
    def generation(self) -> int:
        """Number of the generation that is searched."""

    def search(
        self,
        query: str | SparseVector,
        k: int = 10,
        *,
        space: str | None = None,
        part_weights: Mapping[str, float] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the searcher's own word
        offset: int = 0,
        min_score: float | None = None,
        explain: bool = False,
        highlight: bool = False,
        count_total: bool = False,
        rerank: float | None = None,
        approximation: Approximation = EXACT,
    ) -> Results:
        """Answers one query."""

    def search_batch(
        self,
        queries: Sequence[str | SparseVector],
        k: int = 10,
        *,
        threads: int = 1,
        **options: Any,
    ) -> list[Results]:
        """Answers many queries that share their options."""

    def document(self, doc_id: str) -> StoredDocument:
        """A stored document."""

    def description(self) -> Any:
        """What the index holds: an ``IndexDescription``."""

    def warm_up(self) -> None:
        """Loads the compiled kernel, whatever words the index holds."""

    def pinned(self) -> SearcherLike:
        """A searcher of the present generation, which does not follow a refresh of this one."""

    def refresh(self) -> bool:
        """Moves to the newest generation; whether that is another one."""
