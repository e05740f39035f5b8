"""Ranking losses over the scores of queries (rows) and candidate documents (columns)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from encoders.training.errors import TrainingError

_TINY = 1e-6
_EXCLUDED = -1e4


def min_max(scores: torch.Tensor) -> torch.Tensor:
    """Scores of each row between 0 and 1; zeros for a row of equal scores.

    ``(s - min) / (max - min + 1e-6)`` as in arXiv 2411.04403.
    """
    low = scores.amin(dim=1, keepdim=True)
    return (scores - low) / (scores.amax(dim=1, keepdim=True) - low + _TINY)


def ensemble(
    scores: Mapping[str, torch.Tensor], groups: Sequence[Mapping[str, float]], scale: float
) -> torch.Tensor:
    """One score of several teachers: ``scale * mean_g min_max(sum_t weight_gt * s_t)``.

    Teachers of one group are added before the scores are normalised (BM25 and a sparse model
    whose weights are on one scale), groups are averaged after it.

    Args:
        scores: float32[B, D] by teacher.
        groups: Per group, the weight of each of its teachers; those without scores are left out.
        scale: Sharpness of the distribution over candidates that ``kl_distillation`` makes.
    """
    present = [{name: group[name] for name in group if name in scores} for group in groups]
    sums = [sum(w * scores[name] for name, w in group.items()) for group in present if group]
    if not sums:
        raise TrainingError(
            f"no teacher of {list(map(list, groups))} has scores; those known are {list(scores)}."
        )
    return scale * torch.stack([min_max(total) for total in sums]).mean(dim=0)


def kl_distillation(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """``KL(softmax(teacher / T) || softmax(student / T))`` of each query, on the mean."""
    log_student = torch.log_softmax(student / temperature, dim=1)
    log_teacher = torch.log_softmax(teacher / temperature, dim=1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(dim=1).mean()


def margin_mse(
    student: torch.Tensor, teacher: torch.Tensor, positive: torch.Tensor
) -> torch.Tensor:
    """Squared error of the margins between a relevant document and the others (arXiv 2010.02666).

    Args:
        student: float32[B, D].
        teacher: float32[B, D].
        positive: int64[B], column of the relevant document.
    """
    errors = [s.gather(1, positive[:, None]) - s for s in (student, teacher)]
    squared = (errors[0] - errors[1]).square()
    return squared.sum() / (squared.numel() - len(squared))


def info_nce(
    student: torch.Tensor, positive: torch.Tensor, also_relevant: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of the relevant document among all candidates.

    Args:
        student: float32[B, D].
        positive: int64[B], column of the relevant document.
        also_relevant: bool[B, D], further columns that must not count as negatives.
    """
    kept = also_relevant.scatter(1, positive[:, None], value=False)
    return torch.nn.functional.cross_entropy(student.masked_fill(kept, _EXCLUDED), positive)
