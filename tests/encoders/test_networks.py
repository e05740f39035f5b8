"""Our BERT and DistilBERT are those of transformers, which is not imported for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

from encoders._transformers import masked_language_model  # noqa: E402
from encoders.networks.bert import BertForMaskedLM, is_plain_bert  # noqa: E402
from encoders.networks.distilbert import (  # noqa: E402
    DistilBertForMaskedLM,
    is_plain_distilbert,
)

ROOT = Path(__file__).parents[2]
BERT = {
    "model_type": "bert",
    "vocab_size": 91,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 33,
}
DISTILBERT = {
    "model_type": "distilbert",
    "vocab_size": 91,
    "dim": 24,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 40,
    "max_position_embeddings": 33,
}
NETWORKS = [
    BERT,
    BERT | {"tie_word_embeddings": False},
    BERT | {"hidden_act": "relu", "layer_norm_eps": 1e-3},
    BERT | {"type_vocab_size": 1, "pad_token_id": None, "num_hidden_layers": 1},
    BERT | {"pad_token_id": 7, "num_attention_heads": 1, "torch_dtype": "float16"},
    DISTILBERT,
    DISTILBERT | {"tie_word_embeddings": False, "pad_token_id": None},
    DISTILBERT | {"activation": "relu", "n_heads": 1, "n_layers": 1},
    DISTILBERT | {"sinusoidal_pos_embds": True},
]


def ours_of(config):
    if is_plain_bert(config):
        return BertForMaskedLM(config)
    assert is_plain_distilbert(config)
    return DistilBertForMaskedLM(config)


def pair(config):
    """transformers' network with random weights, biases and norms, and ours with the same."""
    torch.manual_seed(3)
    theirs = masked_language_model(config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    ours = ours_of(config)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("config", NETWORKS)
def test_parameters_have_the_names_and_ties_of_transformers(config):
    theirs, ours = pair(config)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    names = {name for name, _ in theirs.named_parameters()}
    assert {name for name, _ in ours.named_parameters()} == names
    assert {name for name, _ in ours.named_buffers()} == {n for n, _ in theirs.named_buffers()}
    assert not ours.training
    assert ours.config.pad_token_id == theirs.config.pad_token_id
    for table in ("get_input_embeddings", "get_output_embeddings"):
        assert torch.equal(getattr(ours, table)().weight, getattr(theirs, table)().weight)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("config", NETWORKS)
def test_logits_are_those_of_transformers(config, implementation):
    theirs, ours = pair(config)
    theirs.set_attn_implementation(implementation)
    ours.set_attn_implementation(implementation)
    for lengths in ([1], [33, 33], [5, 33, 1, 12]):
        ids = torch.randint(0, 91, (len(lengths), max(lengths)))
        mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
        inside = mask.bool()
        with torch.inference_mode():
            expected = theirs(input_ids=ids, attention_mask=mask).logits[inside]
            found = ours(input_ids=ids, attention_mask=mask).logits[inside]
            embedded = ours.get_input_embeddings()(ids)
            again = ours(inputs_embeds=embedded, attention_mask=mask).logits[inside]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(again, found)


@pytest.mark.parametrize("config", [BERT, DISTILBERT])
def test_gradients_are_those_of_transformers(config):
    theirs, ours = pair(config)
    ids = torch.randint(0, 91, (3, 9))
    ids[1, 4] = 0  # the padding token, whose look-up gives no gradient
    for network in (theirs, ours):
        network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.square().sum().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "distilbert"},
        {"is_decoder": True},
        {"add_cross_attention": True},
        {"position_embedding_type": "relative_key"},
        {"chunk_size_feed_forward": 8},
        {"hidden_act": "gelu_new"},
        {"hidden_act": ["gelu"]},
        {"num_attention_heads": 5},
        {"num_hidden_layers": "3"},
        {"vocab_size": 0},
        {"max_position_embeddings": 10**12},
        {"hidden_size": True},
        {"tie_word_embeddings": 1},
        {"pad_token_id": 91},
        {"pad_token_id": -1},
        {"layer_norm_eps": "1e-12"},
    ],
)
def test_what_is_not_plain_bert_is_left_to_transformers(changes):
    assert is_plain_bert(BERT)
    assert not is_plain_bert(BERT | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "bert"},
        {"activation": "gelu_new"},
        {"activation": {}},
        {"n_heads": 5},
        {"hidden_size": 24},
        {"dim": -24},
        {"pad_token_id": 91},
    ],
)
def test_what_is_not_plain_distilbert_is_left_to_transformers(changes):
    assert is_plain_distilbert(DISTILBERT)
    assert not is_plain_distilbert(DISTILBERT | changes)


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_checkpoints_need_no_transformers(write_masked_lm, tmp_path, architecture):
    directory = write_masked_lm(tmp_path, architecture)
    code = f"""
import sys
sys.modules["transformers"] = None
from encoders.base import Document
from encoders.splade import create
rows = create("splade", {str(directory)!r}).encode_documents([Document("1", "mars")])
assert len(rows.weights) > 0
assert "torch._dynamo" not in sys.modules  # a third of what transformers would have taken
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert answer.returncode == 0, answer.stderr
