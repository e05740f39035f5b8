"""The training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from encoders.checkpoint import Pooling
from encoders.training.cache import Progress
from encoders.training.candidates import Candidates, CandidateSteps
from encoders.training.configuration import TrainingConfig
from encoders.training.document_frequency import DocumentFrequency
from encoders.training.errors import TrainingError
from encoders.training.guards import CollapseGuard
from encoders.training.objective import Objective, Scoring
from encoders.training.pool import PoolSource
from encoders.training.regularisers import quadratic_warm_up
from encoders.training.state import FILE, State
from encoders.training.student import Student

LOG = "log.jsonl"
BEST = "best"
LATEST = "latest"

_FADE_EVERY = 100
_CORRECTION = 0.005
"""Of the penalty's weight in one step, as an exponent of the rows' excess of dimensions: rows of
twice the target double it in 200 steps."""


@dataclass(frozen=True)
class Development:
    """What a student does on the dev sets beside the base.

    Attributes:
        figures: A figure per dev set.
        mean: Their weighted mean, by which a run chooses.
        part_weight: Weight of the learned part at which it was measured.
    """

    figures: Mapping[str, float]
    mean: float
    part_weight: float


Evaluate = Callable[[Student], Development]
"""It comes from outside: measures belong to a package that imports this one."""


def train(
    config: TrainingConfig,
    pool: Sequence[PoolSource],
    *,
    student: Student | None = None,
    evaluate: Evaluate | None = None,
    resume: bool = False,
    progress: Progress = lambda line: None,
) -> State:
    """Trains a student, or goes on where a stopped run left off.

    The directory ``config.output`` gets ``log.jsonl`` (one JSON object per ``log_every`` steps
    and per evaluation), ``state.pt`` to resume from, ``latest/`` and, if there is an evaluation,
    ``best/``: plain checkpoints that can be used at any time. ``state.pt`` is there before the
    first step, so that a run can be killed at any time.

    Args:
        config: All settings.
        pool: See ``encoders.training.pool.prepare``.
        student: The initial network; loaded from ``config.initial`` when left out.
        evaluate: Measures the student on dev sets.
        resume: Go on from ``state.pt``, or begin where there is none yet.
        progress: Told what is logged, in short lines.

    Raises:
        CollapseError: The model stopped being a useful sparse encoder.
        TrainingError: The output directory holds a run and ``resume`` is not set, or the run
            belongs to another configuration.
    """
    torch.set_num_threads(config.threads)
    if not resume:
        refuse_another_run(config.output)
    state = initial_state(config, student or load_student(config))
    if resume:
        if (config.output / FILE).is_file():
            state.load(config.output / FILE, config)
        progress(f"resumed after step {state.step}")
        _cut_log(config.output / LOG, state.step)
    config.output.mkdir(parents=True, exist_ok=True)
    _Run(config, pool, state, evaluate, progress).go()
    return state


def refuse_another_run(output: Path) -> None:
    """Refuses a directory in which a run has begun.

    Raises:
        TrainingError: There is a state or a log of a run.
    """
    if any((output / name).exists() for name in (FILE, LOG)):
        raise TrainingError(
            f"{output} holds a run; go on with --resume, or give another directory."
        )


def load_student(config: TrainingConfig) -> Student:
    """The network to start from."""
    pooling = None if config.activation is None else Pooling("max", config.activation)
    return Student(config.initial, pooling, config.precision)


def initial_state(config: TrainingConfig, student: Student) -> State:
    """A run before its first step."""
    scoring = Scoring(config.part_weight, config.temperature)
    scoring.to(student.device)
    schedule = config.schedule
    query_rate = schedule.query_table_learning_rate
    scalars = [scoring.log_part_weight, scoring.log_temperature]
    tables, layers = student.tables_and_layers()
    table_peak = schedule.learning_rate * schedule.embedding_rate_share
    optimizer = torch.optim.AdamW(
        [
            {"params": layers, "peak": schedule.learning_rate},
            {"params": tables, "peak": table_peak},
            {"params": scalars, "peak": schedule.scalar_learning_rate, "weight_decay": 0.0},
            {"params": [student.log_query_factor], "peak": query_rate, "weight_decay": 0.0},
        ],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    guard = CollapseGuard(config.guards, schedule.steps)
    return State(student, scoring, optimizer, DocumentFrequency(student.vocabulary), guard)


class _Run:
    """One call of ``train``."""

    def __init__(
        self,
        config: TrainingConfig,
        pool: Sequence[PoolSource],
        state: State,
        evaluate: Evaluate | None,
        progress: Progress,
    ) -> None:
        self._config = config
        self._pool = pool
        self._state = state
        self._evaluate = evaluate
        self._progress = progress
        self._objective = Objective(config, state.student)
        allowed = state.student.allowed_ids()
        self._steps = CandidateSteps(config, pool, allowed).from_step(state.step)
        self._started = time.monotonic()

    def go(self) -> None:
        config, state = self._config, self._state
        steps = config.schedule.steps
        if state.step == 0:
            state.save(config.output / FILE, config)  # before the log: who has one can resume
            self._measure()
        for batches in self._steps:
            state.unlogged.append(self._step(batches))
            state.step += 1
            if state.step % _FADE_EVERY == 0:
                state.frequencies.fade()
            if state.step % config.log_every == 0 or state.step == steps:
                self._log_steps()
            if config.evaluate_every and (
                state.step % config.evaluate_every == 0 or state.step == steps
            ):
                self._measure()
            if state.step % config.save_every == 0 or state.step == steps:
                # In this order: once the state says that a step is done, nothing is left to write.
                state.student.save(config.output / LATEST)
                state.save(config.output / FILE, config)

    def _step(self, batches: Sequence[Candidates]) -> dict[str, float]:
        config, state = self._config, self._state
        schedule, step = config.schedule, state.step
        for group in state.optimizer.param_groups:
            group["lr"] = group["peak"] * _linear(step, schedule.steps, schedule.warm_up)
        warm_up = int(config.sparsity.warm_up * schedule.steps)
        penalty_weight = config.sparsity.weight * quadratic_warm_up(step, warm_up)
        penalty_weight *= state.penalty_factor
        state.optimizer.zero_grad()
        parts: list[dict[str, float]] = []
        for batch in batches:
            found = self._objective.losses(batch, state.scoring, state.frequencies, penalty_weight)
            (found.total / schedule.accumulate).backward()
            parts.append({"loss": found.total.item(), **found.parts})
        means = _means(parts)
        state.guard.check(step, means["loss"], means["dims"])
        torch.nn.utils.clip_grad_norm_(state.student.parameters(), schedule.clip)
        state.optimizer.step()
        if config.sparsity.target_dims and step >= warm_up:
            dims = max(1.0, sum(state.guard.recent) / len(state.guard.recent))
            state.penalty_factor *= (dims / config.sparsity.target_dims) ** _CORRECTION
        return means

    def _log_steps(self) -> None:
        state = self._state
        means = {name: round(value, 5) for name, value in _means(state.unlogged).items()}
        state.unlogged.clear()
        line = {
            "step": state.step,
            **means,
            "part_weight": round(state.scoring.part_weight, 4),
            "penalty_factor": round(state.penalty_factor, 4),
            "temperature": round(state.scoring.log_temperature.exp().item(), 4),
            "learning_rate": state.optimizer.param_groups[0]["lr"],
            "seconds": round(time.monotonic() - self._started, 1),
            "doc_freq_histogram": state.frequencies.histogram(),
        }
        self._write(line)
        shown = " ".join(f"{name} {value:.4g}" for name, value in means.items())
        self._progress(f"step {state.step}: {shown}")

    def _measure(self) -> None:
        if self._evaluate is None:
            return
        state, output = self._state, self._config.output
        found = self._evaluate(state.student)
        figures = {name: round(value, 5) for name, value in found.figures.items()}
        line = {"dev": figures, "dev_mean": round(found.mean, 5), "at_weight": found.part_weight}
        self._write({"step": state.step, **line})
        shown = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self._progress(
            f"step {state.step}: dev {found.mean:.4f} at weight {found.part_weight:g}: {shown}"
        )
        if found.mean > state.best[0]:
            state.best = (found.mean, state.step)
            state.student.save(output / BEST)

    def _write(self, line: Mapping[str, object]) -> None:
        with (self._config.output / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_log(output: Path) -> list[dict[str, object]]:
    """The lines of a run's log."""
    with (output / LOG).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _cut_log(path: Path, step: int) -> None:
    """Takes out of a log what a resumed run writes again: all that came after ``step``.

    At step 0 that is everything, and in any case a line that was not written to its end.
    """
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if step and _step_of(line) <= step]
    temporary = path.with_suffix(".part")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)


def _step_of(line: str) -> float:
    """Step of a line of the log; infinity for one without an end."""
    return int(json.loads(line)["step"]) if line.endswith("\n") else math.inf


def _linear(step: int, steps: int, warm_up: float) -> float:
    """Share of the highest learning rate: a linear rise, then a linear fall to 0."""
    rising = max(1, int(warm_up * steps))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (steps - step) / max(1, steps - rising))


def _means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure over the rows that have it: not all losses fit every source."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {name: sum(found) / len(found) for name, found in values.items()}
