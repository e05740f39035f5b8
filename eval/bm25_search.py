"""Searches k1 and b of BM25 parts, from coarse to fine, for the best value of a measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eval.reweighing import K1B

Settings = Mapping[str, K1B]

_K1 = (0.2, 0.4, 0.6, 0.9, 1.2, 1.6, 2.2, 3.0)
_B = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_SWEEPS = 4
_FINER_K1 = 1.2
_FINER_B = 0.1
"""Factor of k1 and step of b around the best of the grid. Smaller ones would choose among
differences that other queries do not have."""


@dataclass(frozen=True, slots=True)
class Bm25Trial:
    """Settings that were tried, and the mean of the measure that they give."""

    settings: dict[str, K1B]
    value: float

    def as_json(self) -> dict[str, Any]:
        """Fields for JSON."""
        return {"settings": as_json(self.settings), "value": self.value}


def as_json(settings: Settings) -> dict[str, dict[str, float]]:
    """Settings as JSON."""
    return {part: chosen._asdict() for part, chosen in settings.items()}


def search_k1_b(
    present: Settings, measure: Callable[[Settings], float]
) -> tuple[Bm25Trial, list[Bm25Trial]]:
    """The best k1 and b of each part.

    k1 and b take turns on a grid, and so do the parts, until none of them moves; at the end each
    tries one smaller step either way. Of equal values the one nearest to the present settings wins,
    and those themselves if nothing is better.

    Args:
        present: k1 and b by part.
        measure: Called once for each combination of settings.

    Returns:
        The best trial, and all trials in the order in which they were made.

    >>> best, trials = search_k1_b(
    ...     {"bm25": K1B(0.9, 0.4)}, lambda s: -abs(s["bm25"].k1 - 2.2) - abs(s["bm25"].b - 0.75)
    ... )
    >>> best.settings["bm25"]
    K1B(k1=2.2, b=0.7)
    """
    trials: dict[tuple[K1B, ...], Bm25Trial] = {}

    def tried(settings: dict[str, K1B]) -> Bm25Trial:
        key = tuple(settings.values())
        if key not in trials:
            trials[key] = Bm25Trial(settings, measure(settings))
        return trials[key]

    def rank(trial: Bm25Trial) -> tuple[float, float]:
        distances = (
            abs(chosen.k1 - present[part].k1) + abs(chosen.b - present[part].b)
            for part, chosen in trial.settings.items()
        )
        return trial.value, -sum(distances)

    best = tried(dict(present))
    for finer in (False, True):
        for _ in range(1 if finer else _SWEEPS):
            before = best
            for part in present:
                for others in (_other_k1, _other_b):
                    start = best.settings
                    candidates = [
                        tried({**start, part: chosen}) for chosen in others(start[part], finer)
                    ]
                    best = max(best, *candidates, key=rank)
            if best == before:
                break
    return best, list(trials.values())


def _other_k1(at: K1B, finer: bool) -> Iterator[K1B]:
    values = (at.k1 / _FINER_K1, at.k1 * _FINER_K1) if finer else _K1
    return (at._replace(k1=float(f"{value:.2g}")) for value in values)


def _other_b(at: K1B, finer: bool) -> Iterator[K1B]:
    values = (max(at.b - _FINER_B, 0.0), min(at.b + _FINER_B, 1.0)) if finer else _B
    return (at._replace(b=round(value, 2)) for value in values)
