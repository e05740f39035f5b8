"""From a question to integer query weights, without a neural network.

``tokens -> table lookup -> aggregate``: the table is the idf of the indexed text or a
checkpoint's published weights. The weight of a part multiplies its table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.search import LARGEST_SCORE
from retriever.errors import QueryError

MAX_IMPACT = 255

SMALLEST_PRODUCT = 1e-200
"""Below this a term's weight is as good as 0, and its inverse would overflow."""

MAX_TERMS = 1 << 16
"""Of more terms, the rounding of the weights would show."""

LARGEST_PRODUCT = 1e200
"""Above this a sum of weights or a score may overflow."""


def finite_number(value: object) -> float | None:
    """Python's or numpy's number as a finite float; ``None`` for anything else.

    >>> finite_number(2), finite_number(10**400), finite_number("2")
    (2.0, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class SparseVector:
    """A query given as weights instead of text.

    Attributes:
        weights: Weight per token. For a space of several parts a token counts in every part
            that knows it.
        indices: Weight per dimension number, for a space of one part with a fixed vocabulary.

    >>> SparseVector({"weather": 4.57, "ny": 5.77}).weights["ny"]
    5.77
    """

    weights: Mapping[str, float]
    indices: Mapping[int, float] | None = None

    @classmethod
    def from_indices(cls, indices: Sequence[int], values: Sequence[float]) -> SparseVector:
        """A query over dimension numbers.

        Raises:
            QueryError: The sequences differ in length or repeat a number.
        """
        if len(indices) != len(values):
            raise QueryError(
                f"'indices' and 'values' must be equally long, got {len(indices)} and "
                f"{len(values)}."
            )
        if len(set(indices)) != len(indices):
            raise QueryError("'indices' must not repeat a dimension; add its values up.")
        return cls({}, dict(zip(map(int, indices), values, strict=True)))

    def __post_init__(self) -> None:
        for key, value in [*self.weights.items(), *(self.indices or {}).items()]:
            if finite_number(value) is None:
                raise QueryError(
                    f"the weight of {key!r:.80} must be a finite number, got {value!r:.80}."
                )


class QueryTerm(NamedTuple):
    """One token of a query, looked up.

    Attributes:
        part: Name of its part.
        term: The token as text.
        weight: Query weight times the part's weight.
        scale: Document weight of one impact step.
        dimensions: Its dimension in each segment's space, -1 where it has none.
    """

    part: str
    term: str
    weight: float
    scale: float
    dimensions: tuple[int, ...]


class IntegerQuery(NamedTuple):
    """Query terms with integer weights.

    Attributes:
        terms: Terms of positive weight.
        weights: int64[q], ``rint(weight * scale * factor)``, at least 1: they decide the order.
        products: ``weight * scale`` of each: the score that is shown is a sum of them.
        factor: Integer score of a float score of 1.
    """

    terms: Sequence[QueryTerm]
    weights: NDArray[np.int64]
    products: Sequence[float]
    factor: float

    @property
    def rounding(self) -> int:
        """By how much an integer score may differ from ``factor`` times the one shown."""
        return MAX_IMPACT * len(self.terms) + 1


def integer_query(terms: Sequence[QueryTerm]) -> IntegerQuery:
    """Rounds query weights once, so that every sum of them is exact.

    The factor is the largest that keeps the highest possible score within ``LARGEST_SCORE``. The
    rounding then shifts a score of ``n`` terms by at most ``n * 127 / 2^31`` of the highest
    possible one (10 terms: 6e-7): documents that differ by less may change places, which
    :attr:`IntegerQuery.products` does not undo.

    Raises:
        QueryError: A weight is too large for floats to add up, or there are too many terms.
    """
    # Plain Python, and little of it: after a search the processor's caches hold other things.
    products = [term.weight * term.scale for term in terms]
    if not products or min(products) <= SMALLEST_PRODUCT:
        terms = [term for term, p in zip(terms, products, strict=True) if p > SMALLEST_PRODUCT]
        products = [product for product in products if product > SMALLEST_PRODUCT]
        if not terms:
            return IntegerQuery((), np.zeros(0, np.int64), (), 1.0)
    if len(terms) > MAX_TERMS:
        raise QueryError(f"a query has at most {MAX_TERMS} terms, got {len(terms)}.")
    if max(products) > LARGEST_PRODUCT:
        term = terms[products.index(max(products))]
        raise QueryError(
            f"the weight of {term.term!r:.80} in part {term.part!r}, the part's weight included, "
            f"is {term.weight:g}: too large to add up. Give smaller ones: "
            "the order by parts depends on ratios alone."
        )
    room = LARGEST_SCORE / MAX_IMPACT - 2 * len(terms)
    factor = room / sum(products)
    weights = np.array([round(product * factor) or 1 for product in products], np.int64)
    return IntegerQuery(terms, weights, products, factor)
