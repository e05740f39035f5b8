"""Pruning of document rows: the small weights go, before they cost postings."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from encoders.base import SparseRows
from encoders.errors import EncoderError

PruningKind = Literal["none", "max_ratio", "top_k", "alpha_mass", "abs_value"]

_RANGES = {
    "max_ratio": "a number from 0 to below 1",
    "top_k": "a whole number from 1",
    "alpha_mass": "a number above 0 and below 1",
    "abs_value": "a number from 0",
}


@dataclass(frozen=True, slots=True)
class Pruning:
    """Which weights of a row stay. The kinds are those of OpenSearch's sparse encoding processor.

    Attributes:
        kind: ``none`` keeps all; ``max_ratio`` those above ``value`` times the row's largest
            weight; ``top_k`` the ``value`` largest; ``alpha_mass`` the largest ones whose sum
            stays within the share ``value`` of the row's sum, at least one; ``abs_value`` those
            of ``value`` and more.
        value: See ``kind``.

    >>> Pruning.parse("max_ratio:0.1")
    Pruning(kind='max_ratio', value=0.1)
    """

    kind: PruningKind = "none"
    value: float = 0.0

    def __post_init__(self) -> None:
        value = self.value
        valid = math.isfinite(value) and {
            "none": True,
            "max_ratio": 0 <= value < 1,
            "top_k": value >= 1 and value == int(value) if math.isfinite(value) else False,
            "alpha_mass": 0 < value < 1,
            "abs_value": value >= 0,
        }.get(self.kind, False)
        if not valid:
            wanted = _RANGES.get(self.kind)
            raise EncoderError(
                f"pruning {self.kind!r} needs {wanted}, got {value:g}."
                if wanted
                else f"there is no pruning {self.kind!r}; choose one of "
                f"{', '.join(get_args(PruningKind))}."
            )

    @classmethod
    def parse(cls, text: str) -> Pruning:
        """Reads ``none`` or ``KIND:VALUE``, the form that ``str`` gives.

        Raises:
            EncoderError: The kind is unknown, or the value is no number in its range.
        """
        kind, colon, number = text.strip().partition(":")
        if kind == "none" and not colon:
            return cls()
        try:
            value = float(number)
        except ValueError:
            raise EncoderError(
                f"pruning must be 'none' or a kind and a number, such as 'max_ratio:0.1', "
                f"got {text!r}; kinds: {', '.join(get_args(PruningKind))}."
            ) from None
        return cls(kind, value)  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.kind == "none":
            return self.kind
        # Every digit, because the text is what an index records; "top_k:200" for a whole number.
        return f"{self.kind}:{repr(float(self.value)).removesuffix('.0')}"

    def apply(self, rows: SparseRows) -> SparseRows:
        """The rows with only the weights that stay."""
        if self.kind == "none" or rows.nnz == 0:
            return rows
        keep = self._keep(rows)
        before = np.concatenate(([0], np.cumsum(keep, dtype=np.int64)))
        return dataclasses.replace(
            rows,
            indptr=before[rows.indptr],
            dimensions=rows.dimensions[keep],
            weights=rows.weights[keep],
        )

    def _keep(self, rows: SparseRows) -> NDArray[np.bool_]:
        weights, lengths = rows.weights, np.diff(rows.indptr)
        if self.kind == "abs_value":
            return weights >= np.float32(self.value)
        filled = lengths > 0
        starts = rows.indptr[:-1][filled]
        if self.kind == "max_ratio":
            largest = np.maximum.reduceat(weights, starts)
            return weights > np.repeat(largest * np.float32(self.value), lengths[filled])
        row_of = np.repeat(np.arange(len(rows)), lengths)
        # Stable, so that of equal weights the lower dimension comes first.
        order = np.lexsort((-weights, row_of))
        rank = np.arange(rows.nnz) - np.repeat(starts, lengths[filled])
        keep = np.empty(rows.nnz, dtype=bool)
        if self.kind == "top_k":
            keep[order] = rank < self.value
            return keep
        mass = np.concatenate(([0.0], np.cumsum(weights[order], dtype=np.float64)))
        row_mass = np.add.reduceat(weights.astype(np.float64), starts)
        within = mass[1:] - np.repeat(mass[starts], lengths[filled])
        keep[order] = (within <= self.value * np.repeat(row_mass, lengths[filled])) | (rank == 0)
        return keep
