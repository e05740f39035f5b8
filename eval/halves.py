"""Settings that are chosen on one half of the judged queries and checked on the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eval.compare import Comparison, Pair, compare
from eval.datasets.qrels import Qrels
from eval.errors import TuningError
from eval.measures import Evaluation

FEWEST = 2

Setting = TypeVar("Setting")


@dataclass(frozen=True, kw_only=True)
class ChosenOnHalf(Generic[Setting]):
    """What was chosen for each part of a space, and what it is worth.

    Attributes:
        space: Name of the space.
        collection: Name of the collection.
        split: Name of its judgements.
        measure: Name of the measure.
        present: Settings of the index, by part.
        chosen: The settings found.
        choosing: Chosen (A) against present (B) on the half where they were chosen: optimistic.
        held_back: The same on the other half: what to expect on new queries.
        notes: What a reader of the figures must know.
    """

    space: str
    collection: str
    split: str
    measure: str
    present: dict[str, Setting]
    chosen: dict[str, Setting]
    choosing: Comparison
    held_back: Comparison
    notes: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether other settings than the present ones were chosen."""
        return self.chosen != self.present

    @property
    def is_safe(self) -> bool:
        """Whether the half that was held back does not get worse."""
        return self.held_back.difference >= 0

    def as_json(self) -> dict[str, Any]:
        """Fields for JSON."""
        return {
            "space": self.space,
            "collection": self.collection,
            "split": self.split,
            "measure": self.measure,
            "present": self.present,
            "chosen": self.chosen,
            "choosing": self.choosing.as_json(),
            "held_back": self.held_back.as_json(),
            "notes": list(self.notes),
        }


def divide(qrels: Qrels, seed: int = 0) -> tuple[Qrels, Qrels]:
    """Two halves of the judged queries: to choose settings on, and to hold back.

    Raises:
        TuningError: A half has fewer than two queries.

    >>> choosing, held_back = divide({f"q{i}": {"d": 1} for i in range(100)})
    >>> len(choosing) + len(held_back), choosing.keys() & held_back.keys()
    (100, set())
    """
    halves: tuple[Qrels, Qrels] = ({}, {})
    for query_id, judged in qrels.items():
        digest = hashlib.sha256(f"{seed}:{query_id}".encode()).digest()
        halves[digest[0] & 1][query_id] = judged
    if min(map(len, halves)) < FEWEST:
        raise TuningError(
            f"{len(qrels)} judged queries are too few: each half needs at least {FEWEST}, and "
            f"they came to {len(halves[0])} and {len(halves[1])}; give more judgements."
        )
    return halves


def compare_on(
    halves: Sequence[Qrels],
    evaluated: Callable[[Qrels, bool], Evaluation],
    collection: str,
    measure: str,
    seed: int,
) -> list[Comparison]:
    """Chosen (A) against present (B) settings on each half.

    Args:
        halves: Judged queries.
        evaluated: Measures some of them, with the chosen settings or with the present ones.
        collection: Its name.
        measure: Its name.
        seed: Of the bootstrap.
    """
    # Settings outside: to change them may take long.
    chosen, present = (
        [evaluated(half, is_chosen).per_query for half in halves] for is_chosen in (True, False)
    )
    rows: list[Comparison] = []
    for a, b in zip(chosen, present, strict=True):
        rows += compare([Pair(collection, a, b)], [measure], seed=seed)
    return rows
