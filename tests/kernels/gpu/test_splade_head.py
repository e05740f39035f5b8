"""The fused vocabulary head equals plain torch in float64, values, winners and gradients."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("triton", reason="needs Triton, which there is for Linux")

from kernels.gpu import reference, splade_forward  # noqa: E402
from kernels.gpu.splade_backward import (  # noqa: E402
    hidden_gradient,
    logit_gradient,
    weight_gradient,
)
from kernels.gpu.splade_forward import Tile, default_tile, forward  # noqa: E402
from kernels.gpu.splade_head import splade_head, splade_head_rows, unpadded  # noqa: E402

INTERPRETED = os.environ["TRITON_INTERPRET"] == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
TYPES = [torch.float32, torch.float16]
TYPES += [] if INTERPRETED else [torch.bfloat16]  # The interpreter multiplies its bits as integers.
DIGITS = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
SMALL = Tile(32, 16, 16, 4, 2)

SHAPES = {
    "one token": ([1], 1, 1),
    "whole tiles": ([16], 64, 32),
    "ragged": ([5, 1, 18], 50, 20),
    "empty sequences": ([0, 3, 0, 0, 17, 0], 33, 17),
}


def cumulated(lengths):
    return torch.tensor([0, *lengths], device=DEVICE).cumsum(0).int()


def inputs(lengths, vocabulary, dimension, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(sum(lengths), dimension, generator=generator).to(DEVICE, dtype)
    weight = torch.randn(vocabulary, dimension, generator=generator).to(DEVICE, dtype)
    bias = torch.randn(vocabulary, generator=generator).to(DEVICE) - 1
    return hidden, cumulated(lengths), weight, bias


def doubled(hidden, cu_seqlens, weight, bias):
    hidden, weight, bias = (t.detach().double().requires_grad_() for t in (hidden, weight, bias))
    return hidden, cu_seqlens, weight, bias


def distance(found, expected):
    """Relative, in the Euclidean norm."""
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    norm = float(expected.double().norm())
    return float((found.double() - expected.double()).norm()) / (norm or 1.0)


@pytest.mark.parametrize("double_log", [False, True], ids=["one log", "two logs"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_weights_winners_and_gradients(shape, dtype, double_log):
    hidden, cu_seqlens, weight, bias = inputs(*shape, dtype)
    exact = doubled(hidden, cu_seqlens, weight, bias)
    expected, winners = reference.splade_head(*exact, double_log=double_log)
    leaves = [tensor.requires_grad_() for tensor in (hidden, weight, bias)]
    found = splade_head(hidden, cu_seqlens, weight, bias, double_log=double_log, tile=SMALL)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    saved = found.grad_fn.saved_tensors[-1]
    torch.testing.assert_close(saved.long(), winners)

    gradient = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    found.backward(gradient)
    expected.backward(gradient.double())
    for leaf, precise in zip(leaves, (exact[0], exact[2], exact[3]), strict=True):
        assert leaf.grad.dtype == leaf.dtype
        assert distance(leaf.grad, precise.grad) < DIGITS[leaf.dtype]


def test_inference_equals_training_and_default_tile():
    arguments = inputs([30, 3], 140, 24)
    plain = splade_head(*arguments)
    leaves = (arguments[0].clone().requires_grad_(), *arguments[1:])
    assert torch.equal(splade_head(*leaves), plain)
    torch.testing.assert_close(splade_head(*arguments, tile=SMALL), plain)
    torch.testing.assert_close(splade_head(*arguments, max_length=16), plain)


def test_first_of_equal_tokens_wins_within_and_across_tiles():
    hidden, cu_seqlens, weight, bias = inputs([40, 2], 40, 16, seed=3)
    hidden, weight = hidden.round(), weight.round()  # Sums of small integers are exact.
    hidden[21:40] = hidden[2:21]
    hidden[41] = hidden[40]
    _, winners = forward(
        *(hidden, cu_seqlens, weight, bias),
        double_log=False,
        keep_winners=True,
        max_length=40,
        tile=SMALL,
    )
    logits = (hidden @ weight.T + bias).cpu()
    for sequence, span in enumerate((range(40), range(40, 42))):
        for entry in range(40):
            column = [float(logits[token, entry]) for token in span]
            best = max(column)
            expected = span[column.index(best)] if best > 0 else -1
            assert winners[sequence, entry] == expected
    leaf = hidden.requires_grad_()
    splade_head(leaf, cu_seqlens, weight, bias, tile=SMALL).sum().backward()
    assert leaf.grad[40].abs().sum() > 0
    assert leaf.grad[41].abs().sum() == 0
    assert leaf.grad[21:40].abs().sum() == 0


def test_no_positive_logit_gives_zeros_and_no_gradient():
    hidden, cu_seqlens, weight, bias = inputs([4, 0], 20, 16)
    leaves = [t.requires_grad_() for t in (hidden, weight, bias)]
    pooled = splade_head(hidden, cu_seqlens, weight, bias - 1000.0, tile=SMALL)
    assert torch.equal(pooled, torch.zeros(2, 20, device=DEVICE))
    pooled.backward(torch.ones_like(pooled))
    for leaf in leaves:
        assert torch.equal(leaf.grad, torch.zeros_like(leaf))


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_nothing_to_encode(lengths):
    hidden, cu_seqlens, weight, bias = inputs(lengths, 9, 16)
    pooled = splade_head(hidden.requires_grad_(), cu_seqlens, weight.requires_grad_(), bias)
    assert torch.equal(pooled, torch.zeros(len(lengths), 9, device=DEVICE))
    pooled.sum().backward()
    assert torch.equal(weight.grad, torch.zeros_like(weight))
    indptr, entries, values = splade_head_rows(hidden, cu_seqlens, weight, bias)
    assert indptr.tolist() == [0] * (len(lengths) + 1)
    assert len(entries) == len(values) == 0


@pytest.mark.parametrize("logit", [1e-8, 1e-4, 0.37, 1e6, 1e30])
def test_small_and_large_logits_keep_their_digits(logit):
    hidden = torch.tensor([[logit]], device=DEVICE)
    one = torch.ones(1, 1, device=DEVICE)
    for double_log in (False, True):
        found = splade_head(hidden, cumulated([1]), one, double_log=double_log, tile=SMALL)
        expected = hidden.double().log1p()
        expected = expected.log1p() if double_log else expected
        torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)


def test_same_bits_each_time():
    hidden, cu_seqlens, weight, bias = inputs([25, 8], 40, 20, torch.float16)
    results = []
    for _ in range(2):
        leaves = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
        pooled = splade_head(leaves[0], cu_seqlens, *leaves[1:], tile=SMALL)
        pooled.square().sum().backward()
        results.append([pooled, *(leaf.grad for leaf in leaves)])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_groups_of_sequences_cover_every_block(monkeypatch):
    arguments = inputs([3, 9, 1, 2, 5], 70, 16)
    whole = splade_head(*arguments, tile=SMALL)
    monkeypatch.setattr(splade_forward, "_GROUP_BYTES", 2 * arguments[0].nbytes // 5)
    assert torch.equal(splade_head(*arguments, tile=SMALL), whole)


def test_padded_batch_with_gaps_in_its_mask():
    generator = torch.Generator().manual_seed(5)
    hidden = torch.randn(3, 6, 16, generator=generator).to(DEVICE).requires_grad_()
    mask = torch.tensor([[1, 1, 0, 1, 0, 0], [0] * 6, [1] * 6], device=DEVICE)
    _, _, weight, bias = inputs([1], 21, 16)
    tokens, cu_seqlens = unpadded(hidden, mask)
    assert cu_seqlens.tolist() == [0, 3, 3, 9]
    pooled = splade_head(tokens, cu_seqlens, weight, bias, tile=SMALL)
    logits = (hidden @ weight.T + bias) * mask[:, :, None]
    torch.testing.assert_close(pooled, logits.amax(dim=1).relu().log1p())
    pooled.sum().backward()
    assert hidden.grad[0, 2].abs().sum() == hidden.grad[1].abs().sum() == 0


def test_weight_in_float32_beside_half_precision_states():
    hidden, cu_seqlens, weight, _ = inputs([7, 4], 30, 16, torch.float16)
    master = weight.float().requires_grad_()
    found = splade_head(hidden, cu_seqlens, master, tile=SMALL)
    assert torch.equal(found, splade_head(hidden, cu_seqlens, weight, tile=SMALL))
    found.sum().backward()
    assert master.grad.dtype == torch.float32


def test_bias_alone_is_trained():
    hidden, cu_seqlens, weight, bias = inputs([7, 4], 30, 16)
    exact = doubled(hidden, cu_seqlens, weight, bias)
    splade_head(hidden, cu_seqlens, weight, bias.requires_grad_(), tile=SMALL).sum().backward()
    reference.splade_head(*exact)[0].sum().backward()
    torch.testing.assert_close(bias.grad.double(), exact[3].grad, rtol=1e-5, atol=1e-6)


def test_gradients_of_bfloat16():
    hidden, cu_seqlens, weight, bias = inputs([7, 12], 30, 20, torch.bfloat16)
    exact = doubled(hidden, cu_seqlens, weight, bias)
    pooled, winners = reference.splade_head(*exact, double_log=True)
    pooled.sum().backward()
    pooled = pooled.detach().float()
    gradient = logit_gradient(pooled, torch.ones_like(pooled), double_log=True)
    of_weight, of_bias = weight_gradient(hidden, weight, winners.int(), gradient)
    of_hidden = hidden_gradient(hidden, weight, winners.int(), gradient)
    assert of_weight.dtype == of_hidden.dtype == torch.bfloat16
    assert distance(of_weight, exact[2].grad) < DIGITS[torch.bfloat16]
    assert distance(of_hidden, exact[0].grad) < DIGITS[torch.bfloat16]
    assert distance(of_bias, exact[3].grad) < DIGITS[torch.float32]


def test_default_tile_follows_length_and_shared_memory():
    for dtype in (torch.float32, torch.bfloat16):
        hidden = torch.empty(0, 768, dtype=dtype)
        tiles = [default_tile(hidden, length) for length in (1, 30, 60, 128, 512)]
        assert [tile.tokens for tile in tiles] == sorted(tile.tokens for tile in tiles)
        assert tiles[0].tokens <= 32
        assert tiles[-1].tokens == 128
        for tile in tiles:
            elements = tile.stages * (tile.vocabulary + tile.tokens) * tile.dimension
            assert elements * hidden.element_size() <= 99 << 10


def test_what_does_not_fit_is_refused():
    hidden, cu_seqlens, weight, bias = inputs([3], 9, 16)
    with pytest.raises(TypeError, match="float64"):
        splade_head(hidden.double(), cu_seqlens, weight, bias)
    for wrong in [
        (hidden[None], cu_seqlens, weight, bias),
        (hidden, cu_seqlens, weight[:, :8], bias),
        (hidden, cu_seqlens, weight, bias[:3]),
        (hidden, cu_seqlens[None], weight, bias),
    ]:
        with pytest.raises(ValueError, match="must be"):
            splade_head(*wrong)
