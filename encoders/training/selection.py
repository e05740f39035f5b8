"""The end of runs: initial weights, trained ones, and means of them, the best on the dev sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from encoders.checkpoint_files import content_hash, weight_files
from encoders.query_factors import QUERY_FACTORS
from encoders.training.cache import Progress
from encoders.training.configuration import TrainingConfig
from encoders.training.errors import TrainingError
from encoders.training.loop import BEST, LATEST, Development, load_student
from encoders.training.student import Student

AVERAGE = "average"
SELECTED = "selected"
RECORD = "selection.json"


@dataclass(frozen=True)
class Candidate:
    """A model that was tried.

    Attributes:
        checkpoint: ``best`` or ``latest``, or ``average``, the mean of several runs' last ones.
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
    others: Sequence[Path] = (),
) -> list[Candidate]:
    """Tries interpolated weights and writes the best to ``output/selected``.

    Fine-tuned weights averaged with the initial ones keep more of what the initial model can do
    on text unlike the training text (WiSE-FT, arXiv 2109.01903), and so does the mean of several
    runs that started from the same weights (model soups, arXiv 2203.05482).

    Args:
        config: The run's settings.
        measure: Figures of a student by weight of its part, the best first.
        progress: Told every candidate in a line.
        others: Directories of further runs of the same initial model, to average with this one.

    Returns:
        All candidates, the best first; ``selection.json`` holds the same.

    Raises:
        TrainingError: The run has written no checkpoint yet.
    """
    trained = {
        name: [config.output / name] for name in (BEST, LATEST) if (config.output / name).is_dir()
    }
    if not trained:
        raise TrainingError(f"{config.output} holds no checkpoint yet; train first.")
    if len(trained) > 1 and len({_weights_of(*paths) for paths in trained.values()}) == 1:
        del trained[LATEST]  # the run ended with its best weights
    if others:
        trained[AVERAGE] = [run / LATEST for run in (config.output, *others)]
        absent = [str(path) for path in trained[AVERAGE] if not path.is_dir()]
        if absent:
            raise TrainingError(f"there is no checkpoint {absent[0]}; train that run first.")
    found = [Candidate("initial", 0.0, tuple(measure(load_student(config))))]
    _tell(found[0], progress)
    for name, checkpoints in trained.items():
        for share in config.interpolations:
            student = interpolated(config, checkpoints, share)
            found.append(Candidate(name, share, tuple(measure(student))))
            _tell(found[-1], progress)
    found.sort(key=lambda candidate: -candidate.mean)
    best = found[0]
    student = interpolated(config, trained.get(best.checkpoint, []), best.share)
    student.save(config.output / SELECTED)
    record = json.dumps([asdict(candidate) for candidate in found], indent=1)
    (config.output / RECORD).write_text(record + "\n", encoding="utf-8")
    return found


def selected_part_weight(output: Path) -> float:
    """The weight of the part that was chosen with the model in ``output/selected``.

    Raises:
        TrainingError: Nothing was selected yet, or the record cannot be read.
    """
    try:
        best = json.loads((output / RECORD).read_text(encoding="utf-8"))[0]
        return float(best["developments"][0]["part_weight"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise TrainingError(
            f"{output / RECORD} names no weight of the part ({error}); "
            "run indexer train select first."
        ) from error


def interpolated(config: TrainingConfig, checkpoints: Sequence[Path], share: float) -> Student:
    """``share`` of the mean of checkpoints' weights plus ``1 - share`` of the initial ones."""
    student = load_student(config)
    trained = [list(Student(path, student.pooling).parameters()) for path in checkpoints]
    with torch.no_grad():
        for number, mine in enumerate(student.parameters()):
            if trained:
                mean = torch.stack([parameters[number] for parameters in trained]).mean(dim=0)
                mine.lerp_(mean, share)
    return student


def _weights_of(checkpoint: Path) -> str:
    """Hash of a student's weights, factors of queries included."""
    factors = checkpoint / QUERY_FACTORS
    return content_hash([*weight_files(checkpoint), *([factors] if factors.is_file() else [])], ())


def _tell(candidate: Candidate, progress: Progress) -> None:
    best = candidate.developments[0]
    figures = " ".join(f"{name} {value:.4f}" for name, value in best.figures.items())
    progress(
        f"{candidate.checkpoint} x {candidate.share:g}: dev {best.mean:.4f} at weight "
        f"{best.part_weight:g}: {figures}"
    )
