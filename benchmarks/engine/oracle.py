"""What is right: every score by brute force in 64-bit integers, ties by record number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass
class Agreement:
    """How a cell's answers compare with the oracle's, added up over queries.

    Attributes:
        queries: Queries compared.
        recall: Sum over queries of the share of the k best; a record that ties with the last of
            them counts as one of them.
        same_order: Queries whose ids are the oracle's, in its order.
    """

    queries: int = 0
    recall: float = 0.0
    same_order: int = 0

    def summary(self) -> dict[str, float]:
        """Means over the queries."""
        return {
            "recall": self.recall / max(1, self.queries),
            "same_order": self.same_order / max(1, self.queries),
        }


class Oracle:
    """Scores all records of a data set of impacts."""

    def __init__(self, folder: Path, documents: int) -> None:
        with np.load(folder / "columns.npz") as arrays:
            self._start, self._rows = arrays["start"], arrays["rows"]
            self._impacts = arrays["impacts"]
        self._documents = documents

    def scores(self, dimensions: Sequence[int], weights: Sequence[int]) -> NDArray[np.int64]:
        """int64[N]; weights are integers whose sum times 255 stays below 2**63."""
        scores = np.zeros(self._documents, dtype=np.int64)
        for dimension, weight in zip(dimensions, weights, strict=True):
            one = slice(self._start[dimension], self._start[dimension + 1])
            scores[self._rows[one]] += np.int64(weight) * self._impacts[one]
        return scores

    def compare(
        self,
        queries: Mapping[str, Sequence[Sequence[int]]],
        k: int,
        answers: Mapping[str, Sequence[Sequence[int]]],
    ) -> dict[str, dict[str, float]]:
        """Agreement of each cell's answers, by its name."""
        found = {name: Agreement() for name in answers}
        for number, (dimensions, weights) in enumerate(
            zip(queries["dimensions"], queries["integers"], strict=True)
        ):
            scores = self.scores(dimensions, weights)
            expected = best(scores, k)
            last = scores[expected[-1]] if len(expected) else 1
            for name, rows in answers.items():
                row = np.asarray(rows[number][:k], dtype=np.int64)
                agreement = found[name]
                agreement.queries += 1
                right = int(np.count_nonzero(scores[np.unique(row)] >= last))
                agreement.recall += min(1.0, right / len(expected)) if len(expected) else 1.0
                agreement.same_order += np.array_equal(row, expected)
        return {name: agreement.summary() for name, agreement in found.items()}


def best(scores: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k best records with a score above 0, best first, equal ones in ascending order.

    >>> best(np.array([5, 0, 7, 5]), 2).tolist()
    [2, 0]
    """
    k = min(k, len(scores))
    if k == 0:
        return np.zeros(0, dtype=np.int64)
    last = max(1, int(np.partition(scores, len(scores) - k)[len(scores) - k]))
    rows = np.flatnonzero(scores >= last)
    return rows[np.argsort(-scores[rows], kind="stable")][:k]
