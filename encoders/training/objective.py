"""The loss of one micro-batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.training import losses, regularisers
from encoders.training.candidates import Candidates
from encoders.training.configuration import TrainingConfig
from encoders.training.document_frequency import DocumentFrequency
from encoders.training.student import Student
from encoders.training.vocabulary import SampledVocabulary

_CHUNK = {False: 64, True: 192}
"""Documents that go through the network together, by whether it is on a GPU."""


class Scoring(torch.nn.Module):  # type: ignore[misc]
    """How base and learned score make one: ``temperature * (base + part_weight * learned)``.

    Both factors are trained. The student's own weights need not change their size then, and
    part_weight says what the learned part is worth beside the base.
    """

    def __init__(self, part_weight: float, temperature: float) -> None:
        super().__init__()
        self.log_part_weight = torch.nn.Parameter(torch.tensor(math.log(part_weight)))
        self.log_temperature = torch.nn.Parameter(torch.tensor(math.log(temperature)))

    @property
    def part_weight(self) -> float:
        """Weight of the learned score beside the base."""
        return math.exp(self.log_part_weight.item())

    def forward(self, base: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        """float32[B, D] scores from those of base and student."""
        return self.log_temperature.exp() * (base + self.log_part_weight.exp() * learned)


@dataclass(frozen=True)
class Losses:
    """What one micro-batch gives.

    Attributes:
        total: The loss to differentiate.
        parts: Its unweighted parts for the log; ``dims``, the mean active dimensions; and
            ``flops``, plain FLOPS of all rows whatever the regulariser, to compare runs by.
    """

    total: torch.Tensor
    parts: dict[str, float]


class Objective:
    """Ranking losses against the teachers, plus the penalty on active dimensions."""

    def __init__(self, config: TrainingConfig, student: Student) -> None:
        self._config = config
        self._student = student
        self._allowed = student.allowed_ids()

    def losses(
        self,
        candidates: Candidates,
        scoring: Scoring,
        frequencies: DocumentFrequency,
        penalty_weight: float,
    ) -> Losses:
        """Losses of one micro-batch; ``frequencies`` learns from it which entries are active."""
        vocabulary = candidates.vocabulary
        columns = torch.from_numpy(vocabulary.columns).to(self._student.device)
        weights = self._weights(candidates.documents, columns)
        first = vocabulary.query_count
        queries = self._tensor(candidates.queries)
        queries = queries * self._student.log_query_factor[columns[:first]].exp()
        learned = queries @ weights[:, :first].T
        base = torch.zeros_like(learned)
        if candidates.base is not None:
            base = self._tensor(candidates.base)
        student = scoring(base, learned)
        total, parts = self._ranking(candidates, student)
        penalty, sizes = self._penalty(candidates.idf, vocabulary, weights, frequencies)
        return Losses(total + penalty_weight * penalty, parts | sizes)

    def _weights(
        self, documents: Sequence[NDArray[np.int32]], columns: torch.Tensor
    ) -> torch.Tensor:
        """float32[D, C], computed in chunks of documents of similar length."""
        order = sorted(range(len(documents)), key=lambda i: len(documents[i]))
        head = self._student.head(columns)
        size = _CHUNK[self._student.device.type == "cuda"]
        pieces = [
            self._student.weights([documents[i] for i in order[start : start + size]], head)
            for start in range(0, len(order), size)
        ]
        return torch.cat(pieces)[torch.tensor(order).argsort().to(head.weight.device)]

    def _ranking(
        self, candidates: Candidates, student: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        settings, teaching = self._config.loss, self._config.teachers
        scores = {name: self._tensor(values) for name, values in candidates.teachers.items()}
        teacher = losses.ensemble(scores, teaching.groups, teaching.scale)
        positive = torch.from_numpy(candidates.positive).to(student.device)
        relevant = torch.from_numpy(candidates.relevant).to(student.device)
        weighed: list[tuple[str, float, torch.Tensor]] = []
        if settings.kl:
            weighed.append(("kl", settings.kl, losses.kl_distillation(student, teacher)))
        if settings.margin_mse:
            value = losses.margin_mse(student, teacher, positive)
            weighed.append(("margin_mse", settings.margin_mse, value))
        if settings.info_nce and bool(relevant.any()):
            value = losses.info_nce(student, positive, relevant)
            weighed.append(("info_nce", settings.info_nce, value))
        total = torch.stack([weight * value for _, weight, value in weighed]).sum()
        return total, {name: value.item() for name, _, value in weighed}

    def _penalty(
        self,
        idf: NDArray[np.float32],
        vocabulary: SampledVocabulary,
        weights: torch.Tensor,
        frequencies: DocumentFrequency,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        settings = self._config.sparsity
        multiplicity = vocabulary.multiplicity().to(weights.device)
        active = weights.detach() > 0
        row_dims = active.float() @ multiplicity
        frequencies.observe(vocabulary.columns, active.sum(dim=0).cpu().numpy(), len(weights))
        scale = torch.ones_like(multiplicity)
        if settings.regulariser == "idf-flops":
            scale = self._tensor(
                regularisers.idf_scale(idf[self._allowed])[
                    np.searchsorted(self._allowed, vocabulary.columns)
                ]
            )
        elif settings.regulariser == "df-flops":
            scale = self._tensor(regularisers.df_scale(frequencies.shares())[vocabulary.columns])
        # Squared with the means, so that each random column counts for those it stands for.
        counted = multiplicity.sqrt()
        value = regularisers.flops(weights, scale * counted, settings.mask_rows_up_to, row_dims)
        flops = regularisers.flops(weights.detach(), counted).item()
        return value, {"penalty": value.item(), "flops": flops, "dims": row_dims.mean().item()}

    def _tensor(self, values: NDArray[np.floating]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self._student.device)
