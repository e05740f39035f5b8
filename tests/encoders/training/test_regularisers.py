"""Penalties against their formulas in numpy, and the sampled vocabulary's estimate."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

WEIGHTS = np.array([[1.0, 0.0, 2.0, 0.0], [3.0, 0.0, 0.0, 1.0], [0.5, 0.0, 0.0, 0.0]])


def test_flops() -> None:
    from encoders.training.regularisers import flops

    expected = (WEIGHTS.mean(axis=0) ** 2).sum()
    assert flops(torch.tensor(WEIGHTS)).item() == pytest.approx(expected)


def test_sparse_rows_are_masked_and_still_count() -> None:
    from encoders.training.regularisers import flops

    masked = WEIGHTS.copy()
    masked[2] = 0  # One active dimension; the others have two.
    expected = (masked.mean(axis=0) ** 2).sum()
    found = flops(torch.tensor(WEIGHTS), mask_rows_up_to=1)
    assert found.item() == pytest.approx(expected)


def test_idf_scale_prefers_rare_terms() -> None:
    from encoders.training.regularisers import flops, idf_scale

    scale = idf_scale(np.array([0.5, 1.0, 2.0, 4.0], np.float32))
    np.testing.assert_allclose(scale * np.array([0.5, 1.0, 2.0, 4.0]), scale[1], rtol=1e-6)
    assert np.mean(scale**2) == pytest.approx(1, rel=1e-5)
    expected = ((WEIGHTS.mean(axis=0) * scale) ** 2).sum()
    assert flops(torch.tensor(WEIGHTS), torch.tensor(scale)).item() == pytest.approx(expected)


def test_df_scale_is_one_half_at_alpha() -> None:
    from encoders.training.regularisers import df_scale

    found = df_scale(np.array([0.0, 0.01, 0.1, 0.2, 1.0]), alpha=0.1, beta=10.0)
    x = 0.2
    expected = 1 / (1 + (x ** (math.log(2) / math.log(0.1)) - 1) ** 10)
    np.testing.assert_allclose(found[2:], [0.5, expected, 1.0], rtol=1e-5)
    assert found[0] < found[1] < 1e-3


def test_warm_up_is_quadratic() -> None:
    from encoders.training.regularisers import quadratic_warm_up

    assert [quadratic_warm_up(step, 4) for step in (0, 1, 3, 9)] == [1 / 16, 1 / 4, 1, 1]
    assert quadratic_warm_up(0, 0) == 1


def test_sampled_flops_is_unbiased() -> None:
    from encoders.training.regularisers import flops
    from encoders.training.vocabulary import sample_vocabulary

    rng = np.random.default_rng(5)
    weights = np.maximum(rng.normal(size=(6, 40)), 0)
    allowed = np.setdiff1d(np.arange(40), [0, 7])
    queries = np.array([3, 12, 30])
    estimates = []
    for _ in range(4000):
        drawn = sample_vocabulary(queries, allowed, 8, rng)
        scale = drawn.multiplicity().sqrt()
        estimates.append(flops(torch.tensor(weights[:, drawn.columns]), scale).item())
    expected = flops(torch.tensor(weights[:, allowed])).item()
    error = np.std(estimates) / math.sqrt(len(estimates))
    assert abs(np.mean(estimates) - expected) < 4 * error


def test_a_sample_of_everything_is_exact() -> None:
    from encoders.training.vocabulary import sample_vocabulary

    drawn = sample_vocabulary(np.array([2, 4]), np.arange(6), 100, np.random.default_rng(0))
    assert sorted(drawn.columns.tolist()) == list(range(6))
    assert drawn.multiplicity().tolist() == [1.0] * 6


def test_maximum_of_logits_has_the_gradient_of_torch() -> None:
    from encoders.training.max_logits import MaxLogits

    generator = torch.Generator().manual_seed(3)
    states = torch.randn(3, 5, 4, generator=generator, requires_grad=True)
    weight = torch.randn(6, 4, generator=generator, requires_grad=True)
    gradients = []
    for function in (MaxLogits.apply, lambda s, w: (s @ w.T).amax(dim=1)):
        (function(states, weight) - 0.5).relu().sum().backward()
        gradients.append((states.grad.clone(), weight.grad.clone()))
        states.grad = weight.grad = None
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
