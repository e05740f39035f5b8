"""Searches weights, from coarse to fine, for the best value of a measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Weights = Mapping[str, float]

_COARSE = range(-5, 6)
"""Exponents of two of the first grid: weights from 1/32 to 32 times their unit."""
_FARTHEST = 12
"""How far the first grid may grow where its best weight lies at its edge."""
_FINER_STEPS = (0.5, 0.25)
_SWEEPS = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """Weights that were tried, and the mean of the measure that they give."""

    weights: dict[str, float]
    value: float


def search_weights(
    present: Weights,
    measure: Callable[[Weights], float],
    *,
    units: Weights | None = None,
    largest: Weights | None = None,
) -> tuple[Trial, list[Trial]]:
    """The best weights, where the first part keeps its present one.

    A ranking by parts depends only on the ratios of their weights, so each further part has a
    weight relative to the first. Its grid is one of powers of two at first, then of half and of
    quarter powers around the best. Several further parts take turns until none of them moves. Of
    equal values the one nearest to the present weights wins, and those themselves if nothing is
    better.

    Args:
        present: Weight per part, in order, all above 0.
        measure: Called once for each set of weights.
        units: Middle of the first grid of some parts, where it is not the first part's weight.
        largest: Weights that some parts cannot exceed.

    Returns:
        The best trial, and all trials in the order in which they were made.

    >>> best, trials = search_weights({"a": 2, "b": 2}, lambda w: -abs(w["b"] / w["a"] - 0.7))
    >>> best.weights, len(trials)
    ({'a': 2, 'b': 1.41}, 15)
    """
    first, *others = present
    middles = dict.fromkeys(others, present[first]) | dict(units or {})
    search = _Search(dict(present), measure, middles, largest or {})
    for step in (1.0, *_FINER_STEPS):
        for _ in range(_SWEEPS if len(others) > 1 else 1):
            before = search.best
            for part in others:
                search.along(part, step)
            if search.best == before:
                break
    return search.best, list(search.trials.values())


class _Search:
    """Trials so far, and the best of them."""

    def __init__(
        self,
        present: dict[str, float],
        measure: Callable[[Weights], float],
        units: Weights,
        largest: Weights,
    ) -> None:
        self._present = present
        self._measure = measure
        self._units = units
        self._largest = largest
        self.trials: dict[tuple[float, ...], Trial] = {}
        self.best = self._try(present)

    def along(self, part: str, step: float) -> None:
        """Tries weights of one part; the others keep those of the best trial."""
        start = dict(self.best.weights)
        if step < 1:
            centre = math.log2(start[part] / self._units[part])
            exponents = [centre - step, centre + step]
        else:
            exponents = [float(exponent) for exponent in _COARSE]
        for exponent in exponents:
            self._at(start, part, exponent)
        if step < 1:
            return
        low, high = exponents[0], exponents[-1]
        while low > -_FARTHEST and self.best.weights[part] <= self._weight(part, low):
            low -= 1
            self._at(start, part, low)
        while high < _FARTHEST and self.best.weights[part] >= self._weight(part, high):
            high += 1
            self._at(start, part, high)

    def _at(self, start: dict[str, float], part: str, exponent: float) -> None:
        weight = self._weight(part, exponent)
        if weight > self._largest.get(part, math.inf):
            return
        trial = self._try({**start, part: weight})
        if self._key(trial) > self._key(self.best):
            self.best = trial

    def _weight(self, part: str, exponent: float) -> float:
        """A multiple of the part's unit, with three digits, as people write them."""
        return float(f"{self._units[part] * 2**exponent:.3g}")

    def _try(self, weights: dict[str, float]) -> Trial:
        key = tuple(weights.values())
        if key not in self.trials:
            self.trials[key] = Trial(weights, self._measure(weights))
        return self.trials[key]

    def _key(self, trial: Trial) -> tuple[float, float]:
        distance = sum(
            abs(math.log(weight / self._present[part])) for part, weight in trial.weights.items()
        )
        return trial.value, -distance
