"""Pruned sparse rows hold what the dense weights hold above the threshold, in order."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("triton", reason="needs Triton, which there is for Linux")

from encoders.checkpoint import Pooling  # noqa: E402
from encoders.vocabulary_head import fused_weights, sparse_weights  # noqa: E402
from kernels.gpu import reference  # noqa: E402
from kernels.gpu.sparse_rows import sparse_rows  # noqa: E402
from kernels.gpu.splade_head import splade_head, splade_head_rows  # noqa: E402

DEVICE = "cpu" if os.environ["TRITON_INTERPRET"] == "1" else "cuda"


def dense_weights(rows, width, share):
    generator = torch.Generator().manual_seed(width)
    values = torch.rand(rows, width, generator=generator)
    return torch.where(torch.rand(rows, width, generator=generator) < share, values, 0).to(DEVICE)


@pytest.mark.parametrize(("threshold", "max_ratio"), [(0, 0), (0.5, 0), (0, 0.7), (0.3, 0.6)])
@pytest.mark.parametrize("width", [1, 1024, 2500])
def test_rows_equal_the_reference(width, threshold, max_ratio):
    dense = dense_weights(3, width, 0.3)
    dense[1] = 0
    found = sparse_rows(dense, threshold=threshold, max_ratio=max_ratio)
    expected = reference.sparse_rows(dense, threshold=threshold, max_ratio=max_ratio)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


def test_a_weight_at_the_threshold_is_dropped():
    dense = torch.tensor([[0.5, 0.25, 0.0, 1.0]], device=DEVICE)
    for options in ({"threshold": 0.5}, {"max_ratio": 0.5}):
        indptr, columns, weights = sparse_rows(dense, **options)
        assert (indptr.tolist(), columns.tolist(), weights.tolist()) == ([0, 1], [3], [1.0])


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (2, 1500)])
def test_nothing_above_the_threshold(shape):
    indptr, columns, weights = sparse_rows(torch.zeros(shape, device=DEVICE))
    assert indptr.tolist() == [0] * (shape[0] + 1)
    assert columns.shape == weights.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_rows_of_the_head_are_its_dense_weights_pruned(dtype):
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(30, 20, generator=generator).to(DEVICE, dtype)
    weight = torch.randn(600, 20, generator=generator).to(DEVICE, dtype)
    bias = torch.randn(600, generator=generator).to(DEVICE) - 2
    cu_seqlens = torch.tensor([0, 11, 11, 30], device=DEVICE)
    excluded = torch.tensor([0, 7, 599], device=DEVICE)
    indptr, columns, weights = splade_head_rows(
        *(hidden, cu_seqlens, weight, bias), threshold=0.4, max_ratio=0.3, excluded=excluded
    )
    dense = splade_head(hidden, cu_seqlens, weight, bias)
    assert (dense[:, excluded] > 0).any()
    dense[:, excluded] = 0
    expected = reference.sparse_rows(dense, threshold=0.4, max_ratio=0.3)
    assert indptr[1] == indptr[2] > 0
    for ours, theirs in zip((indptr, columns, weights), expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_fused_weights_of_the_encoder_equal_those_of_torch(activation):
    generator = torch.Generator().manual_seed(4)
    hidden = torch.randn(3, 9, 16, generator=generator).to(DEVICE)
    lengths = torch.tensor([9, 1, 4], device=DEVICE)
    weight = torch.randn(80, 16, generator=generator).to(DEVICE)
    bias = torch.randn(80, generator=generator).to(DEVICE) - 2
    arguments = (hidden, lengths, weight, bias, Pooling("max", activation), [0, 3])
    counts, columns, weights = fused_weights(*arguments)
    expected = sparse_weights(*(a.cpu() if torch.is_tensor(a) else a for a in arguments))
    assert counts.tolist() == expected[0].tolist()
    assert columns.tolist() == expected[1].tolist()
    torch.testing.assert_close(weights.cpu(), expected[2], rtol=1e-5, atol=1e-6)
