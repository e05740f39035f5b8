"""In what share of the documents each vocabulary entry is active, estimated while training."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

_BOUNDS = (0.0, 0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0)


class DocumentFrequency:
    """Sums over the columns that steps have evaluated; older steps count less and less."""

    def __init__(self, vocabulary: int) -> None:
        self.active = np.zeros(vocabulary, np.float64)
        self.seen = np.zeros(vocabulary, np.float64)

    def observe(
        self, columns: NDArray[np.int64], active: NDArray[np.int64], documents: int
    ) -> None:
        """Adds a batch: in how many of its documents each column was active."""
        self.active[columns] += active
        self.seen[columns] += documents

    def fade(self) -> None:
        """Halves what was seen so far; called every 100 steps, as in arXiv 2505.15070."""
        self.active /= 2
        self.seen /= 2

    def shares(self) -> NDArray[np.float64]:
        """float64[V], 0 for an entry that was never evaluated."""
        return self.active / np.maximum(self.seen, 1)

    def histogram(self) -> dict[str, int]:
        """Numbers of evaluated entries by the share of documents in which they are active."""
        shares = self.shares()[self.seen > 0]
        counts = {"0": int((shares == 0).sum())}
        for low, high in itertools.pairwise(_BOUNDS):
            counts[f"<={high:g}"] = int(((shares > low) & (shares <= high)).sum())
        return counts
