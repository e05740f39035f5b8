"""Systems under evaluation: what answers queries over a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from eval.datasets.beir import Dataset
from eval.runs import Run

Setting = str | int | float | bool | None


@dataclass(frozen=True)
class SystemDescription:
    """How a system was set up for the collection it was last prepared for.

    Attributes:
        settings: What decides its rankings.
        versions: Versions of packages that another process uses.
        notes: What a reader of the table must know.
        build_seconds: Time of indexing the corpus, ``None`` for a finished index.
        search_seconds: Time of searching all queries, from text to document ids, one thread.
    """

    settings: Mapping[str, Setting] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    build_seconds: float | None = None
    search_seconds: float | None = None


class System(Protocol):
    """Anything that ranks documents; it serves one collection after another."""

    @property
    def name(self) -> str:
        """Heading of its column in the table, unique among the systems of a run."""
        ...

    def prepare(self, dataset: Dataset) -> None:
        """Makes the corpus searchable; what was prepared before may be dropped.

        Raises:
            SystemFailedError: The system broke off.
        """
        ...

    def search(self, queries: Mapping[str, str], k: int) -> Run:
        """Ranks at most ``k`` documents for each query, best first.

        Raises:
            PeerAbsentError: The system is not installed.
            SystemFailedError: The system broke off.
        """
        ...

    def description(self) -> SystemDescription:
        """How the system was set up; complete after ``search``."""
        ...

    def close(self) -> None:
        """Frees the files and memory of what was prepared."""
        ...
