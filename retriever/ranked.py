"""Ranked documents, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ranking:
    """Documents by their best passages, best first; arrays of the same length.

    Attributes:
        scores: int64 integer scores.
        segments: int64 number of the segment.
        rows: int64 row of the passage in it.
        doc_nums: int64 number of the document in it.
    """

    scores: NDArray[np.int64]
    segments: NDArray[np.int64]
    rows: NDArray[np.int64]
    doc_nums: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, chosen: slice | NDArray) -> Ranking:
        """Some of them."""
        return Ranking(
            self.scores[chosen], self.segments[chosen], self.rows[chosen], self.doc_nums[chosen]
        )


_NOTHING = np.zeros(0, dtype=np.int64)

NO_RANKING = Ranking(_NOTHING, _NOTHING, _NOTHING, _NOTHING)
