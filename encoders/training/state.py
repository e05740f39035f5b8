"""Checkpoints of a run: everything that the next step depends on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from encoders.training.configuration import TrainingConfig
from encoders.training.document_frequency import DocumentFrequency
from encoders.training.errors import TrainingError
from encoders.training.guards import CollapseGuard
from encoders.training.objective import Scoring
from encoders.training.student import Student

FILE = "state.pt"

_NOT_DECISIVE = {"output", "threads", "loaders", "log_every", "save_every", "evaluate_every"}
_AT_THE_END = {"interpolations", "dev_part_weights", "dev", "dev_max_length", "export"}


@dataclass
class State:
    """A run between two steps.

    Attributes:
        student: The network.
        scoring: Weight of the learned part and temperature.
        optimizer: AdamW with its moments.
        frequencies: Document frequencies seen so far.
        guard: With the last steps' dimensions.
        penalty_factor: What ``sparsity.target_dims`` has made of the penalty's weight.
        step: Steps done.
        best: Best mean over the dev sets, and the step that gave it.
        unlogged: Figures of the steps since the last line of the log.
    """

    student: Student
    scoring: Scoring
    optimizer: torch.optim.Optimizer
    frequencies: DocumentFrequency
    guard: CollapseGuard
    penalty_factor: float = 1.0
    step: int = 0
    best: tuple[float, int] = (float("-inf"), 0)
    unlogged: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path, config: TrainingConfig) -> None:
        """Writes the state; the old one stays until the new one is whole."""
        content = {
            "config": decisive(config),
            "student": self.student.state_dict(),
            "scoring": self.scoring.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "active": torch.from_numpy(self.frequencies.active),
            "seen": torch.from_numpy(self.frequencies.seen),
            "recent": list(self.guard.recent),
            "penalty_factor": self.penalty_factor,
            "step": self.step,
            "best": list(self.best),
            "unlogged": self.unlogged,
        }
        temporary = path.with_suffix(".part")
        torch.save(content, temporary)
        temporary.replace(path)

    def load(self, path: Path, config: TrainingConfig) -> None:
        """Reads a state written under the same configuration.

        Raises:
            TrainingError: The file is damaged, or belongs to another configuration.
        """
        try:
            content: dict[str, Any] = torch.load(path, weights_only=True)
        except Exception as error:  # Whatever a damaged archive provokes.
            raise TrainingError(
                f"{path} cannot be read: {error}; remove it to start from the beginning."
            ) from error
        before, now = json.loads(content["config"]), json.loads(decisive(config))
        changed = sorted(
            key for key in before.keys() | now.keys() if before.get(key) != now.get(key)
        )
        if changed:
            raise TrainingError(
                f"{path} belongs to another configuration: {', '.join(changed)} differ; go on "
                "with the old settings, or give another output."
            )
        self.student.load_state_dict(content["student"])
        self.scoring.load_state_dict(content["scoring"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.frequencies.active[:] = content["active"].numpy()
        self.frequencies.seen[:] = content["seen"].numpy()
        self.guard.recent.extend(content["recent"])
        self.penalty_factor = content["penalty_factor"]
        self.step = content["step"]
        self.best = (content["best"][0], int(content["best"][1]))
        self.unlogged = content["unlogged"]


def decisive(config: TrainingConfig) -> str:
    """The settings that decide the weights, as JSON."""
    excluded = _NOT_DECISIVE | _AT_THE_END
    return json.dumps(config.model_dump(mode="json", exclude=excluded), sort_keys=True)
