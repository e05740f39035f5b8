"""The end of a run: between the initial and the trained weights, the best on the dev sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from encoders.training.cache import Progress
from encoders.training.configuration import TrainingConfig
from encoders.training.errors import TrainingError
from encoders.training.loop import BEST, LATEST, Development, load_student
from encoders.training.student import Student

SELECTED = "selected"
RECORD = "selection.json"


@dataclass(frozen=True)
class Candidate:
    """A model that was tried.

    Attributes:
        checkpoint: ``best`` or ``latest``.
        share: Of the trained weights; the rest is that of the initial ones. 0 is the initial
            model.
        developments: Its figures by weight of the part, the best first.
    """

    checkpoint: str
    share: float
    developments: tuple[Development, ...]

    @property
    def mean(self) -> float:
        """Its best mean."""
        return self.developments[0].mean


def select(
    config: TrainingConfig,
    measure: Callable[[Student], Sequence[Development]],
    progress: Progress = lambda line: None,
) -> list[Candidate]:
    """Tries interpolated weights and writes the best to ``output/selected``.

    Fine-tuned weights averaged with the initial ones keep more of what the initial model can do
    on text unlike the training text (WiSE-FT, arXiv 2109.01903).

    Args:
        config: The run's settings.
        measure: Figures of a student by weight of its part, the best first.
        progress: Told every candidate in a line.

    Returns:
        All candidates, the best first; ``selection.json`` holds the same.

    Raises:
        TrainingError: The run has written no checkpoint yet.
    """
    trained = [name for name in (BEST, LATEST) if (config.output / name).is_dir()]
    if not trained:
        raise TrainingError(f"{config.output} holds no checkpoint yet; train first.")
    initial = load_student(config)
    found = [Candidate("initial", 0.0, tuple(measure(initial)))]
    _tell(found[0], progress)
    for name in trained:
        for share in config.interpolations:
            student = interpolated(config, config.output / name, share)
            found.append(Candidate(name, share, tuple(measure(student))))
            _tell(found[-1], progress)
    found.sort(key=lambda candidate: -candidate.mean)
    best = found[0]
    student = interpolated(
        config, config.output / (trained[0] if not best.share else best.checkpoint), best.share
    )
    student.save(config.output / SELECTED)
    record = json.dumps([asdict(candidate) for candidate in found], indent=1)
    (config.output / RECORD).write_text(record + "\n", encoding="utf-8")
    return found


def interpolated(config: TrainingConfig, checkpoint: Path, share: float) -> Student:
    """``share`` of a checkpoint's weights plus ``1 - share`` of the initial ones."""
    student = load_student(config)
    trained = Student(checkpoint, student.pooling)
    with torch.no_grad():
        for mine, theirs in zip(student.parameters(), trained.parameters(), strict=True):
            mine.lerp_(theirs, share)
    return student


def _tell(candidate: Candidate, progress: Progress) -> None:
    best = candidate.developments[0]
    figures = " ".join(f"{name} {value:.4f}" for name, value in best.figures.items())
    progress(
        f"{candidate.checkpoint} x {candidate.share:g}: dev {best.mean:.4f} at weight "
        f"{best.part_weight:g}: {figures}"
    )
