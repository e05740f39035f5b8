"""Losses against their formulas in numpy."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

STUDENT = np.array([[2.0, 1.0, -1.0], [0.5, 0.5, 3.0]])
TEACHER = np.array([[1.0, 0.0, 0.5], [4.0, 1.0, 0.0]])


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_min_max_lies_between_0_and_1() -> None:
    from encoders.training.losses import min_max

    found = min_max(torch.tensor([[3.0, 1.0, 2.0]])).numpy()
    np.testing.assert_allclose(found, [[1.0, 0.0, 0.5]], atol=1e-5)


def test_min_max_of_equal_scores_is_0() -> None:
    from encoders.training.losses import min_max

    assert min_max(torch.full((2, 3), 7.0)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_an_ensemble_adds_within_a_group_and_averages_groups() -> None:
    from encoders.training.losses import ensemble

    scores = {
        "a": torch.tensor([[0.0, 1.0, 2.0]]),
        "b": torch.tensor([[10.0, 0.0, 0.0]]),
        "c": torch.tensor([[5.0, 5.0, 6.0]]),
    }
    found = ensemble(scores, [{"a": 1.0, "b": 0.1}, {"c": 2.0}], 30.0)
    # a + b / 10 = 1, 1, 2 and 2c = 10, 10, 12: both are 0, 0, 1 once normalised.
    np.testing.assert_allclose(found.numpy(), [[0, 0, 30]], atol=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_kl_distillation(temperature: float) -> None:
    from encoders.training.losses import kl_distillation

    p, q = softmax(TEACHER / temperature), softmax(STUDENT / temperature)
    expected = (p * np.log(p / q)).sum(axis=1).mean()
    found = kl_distillation(torch.tensor(STUDENT), torch.tensor(TEACHER), temperature)
    assert found.item() == pytest.approx(expected)


def test_margin_mse() -> None:
    from encoders.training.losses import margin_mse

    positive = [0, 2]
    errors = []
    for row, first in enumerate(positive):
        for other in {0, 1, 2} - {first}:
            student = STUDENT[row, first] - STUDENT[row, other]
            errors.append((student - TEACHER[row, first] + TEACHER[row, other]) ** 2)
    found = margin_mse(torch.tensor(STUDENT), torch.tensor(TEACHER), torch.tensor(positive))
    assert found.item() == pytest.approx(np.mean(errors))


def test_info_nce_leaves_other_relevant_documents_out() -> None:
    from encoders.training.losses import info_nce

    relevant = torch.tensor([[True, True, False], [False, False, True]])
    found = info_nce(torch.tensor(STUDENT), torch.tensor([0, 2]), relevant)
    first = -np.log(softmax(STUDENT[:1, [0, 2]])[0, 0])
    second = -np.log(softmax(STUDENT[1:])[0, 2])
    assert found.item() == pytest.approx((first + second) / 2)
