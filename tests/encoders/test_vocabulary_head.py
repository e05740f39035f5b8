"""The blocked head equals the plain formula."""

from __future__ import annotations

import os
import warnings

import pytest

from encoders import vocabulary_head
from encoders.checkpoint import Pooling

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")


def plain(hidden, lengths, weight, bias, pooling):
    """Formula of sentence-transformers' SpladePooling, on the whole tensor."""
    mask = torch.arange(hidden.shape[1])[None] < lengths[:, None]
    logits = (hidden @ weight.T + bias) * mask[:, :, None]
    weights = torch.log1p(torch.relu(logits))
    if pooling.activation == "log1p_relu":
        weights = torch.log1p(weights)
    return weights.amax(1) if pooling.strategy == "max" else weights.sum(1)


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize("block", [(1, 1), (7, 10), (512, 512)])
@pytest.mark.parametrize("lengths", [[1], [9, 9], [9, 5, 1, 2], [3] * 20])
def test_equals_the_plain_formula(monkeypatch, strategy, activation, block, lengths):
    monkeypatch.setattr(vocabulary_head, "CPU_BLOCK", block)
    generator = torch.Generator().manual_seed(len(lengths))
    hidden = torch.randn(len(lengths), max(lengths), 8, generator=generator)
    weight = torch.randn(37, 8, generator=generator)
    bias = torch.randn(37, generator=generator) - 2
    pooling = Pooling(strategy, activation)
    counts = torch.tensor(lengths)
    before = hidden.clone()
    found = vocabulary_head.pooled_weights(hidden, counts, weight, bias, pooling)
    torch.testing.assert_close(found, plain(hidden, counts, weight, bias, pooling))
    torch.testing.assert_close(hidden, before, rtol=0, atol=0)
    assert (found == 0).any()


def test_padding_never_counts():
    hidden = torch.full((1, 3, 2), 1000.0)
    hidden[0, 0] = 1.0
    weight, bias = torch.eye(2), torch.zeros(2)
    for strategy in ("max", "sum"):
        found = vocabulary_head.pooled_weights(
            hidden, torch.tensor([1]), weight, bias, Pooling(strategy)
        )
        torch.testing.assert_close(found, torch.log1p(torch.ones(1, 2)))


@pytest.fixture
def untried():
    vocabulary_head._triton_runs.cache_clear()
    yield
    vocabulary_head._triton_runs.cache_clear()


def test_triton_is_tried_on_a_tiny_head(untried):
    """In the interpreter, or on the GPU that TRITON_INTERPRET=0 asks for."""
    pytest.importorskip("triton", reason="needs Triton, which there is for Linux")
    interpreted = os.environ["TRITON_INTERPRET"] == "1"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert vocabulary_head._triton_runs(torch.device("cpu" if interpreted else "cuda"))


def test_a_kernel_that_cannot_be_built_is_told_once(untried, monkeypatch):
    pytest.importorskip("triton", reason="needs Triton, which there is for Linux")
    tries = []

    def no_compiler(*arguments):
        tries.append(arguments)
        raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(vocabulary_head, "fused_weights", no_compiler)
    with pytest.warns(RuntimeWarning, match=r"torch computes it.*RuntimeError: Failed to find C"):
        assert not vocabulary_head._triton_runs(torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not vocabulary_head._triton_runs(torch.device("cpu"))
    assert len(tries) == 1


def test_without_triton_torch_computes_and_nothing_is_said(untried, monkeypatch):
    monkeypatch.setattr(vocabulary_head, "find_spec", lambda _: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not vocabulary_head._triton_runs(torch.device("cpu"))
