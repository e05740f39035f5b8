"""Our BERT is transformers' BERT, which is not imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")
pytest.importorskip("transformers", reason="needs the [encode] extra")

from encoders._transformers import masked_language_model  # noqa: E402
from encoders.bert import BertForMaskedLM, is_plain_bert  # noqa: E402

ROOT = Path(__file__).parents[2]
CONFIG = {
    "model_type": "bert",
    "vocab_size": 91,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 33,
}
VARIANTS = [
    {},
    {"tie_word_embeddings": False},
    {"hidden_act": "relu", "layer_norm_eps": 1e-3},
    {"type_vocab_size": 1, "pad_token_id": None, "num_hidden_layers": 1},
    {"pad_token_id": 7, "num_attention_heads": 1, "torch_dtype": "float16"},
]


def pair(changes):
    """transformers' network with random weights, biases and norms, and ours with the same."""
    torch.manual_seed(3)
    theirs = masked_language_model(CONFIG | changes)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    ours = BertForMaskedLM(CONFIG | changes)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("changes", VARIANTS)
def test_parameters_have_the_names_and_ties_of_transformers(changes):
    theirs, ours = pair(changes)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    names = {name for name, _ in theirs.named_parameters()}
    assert {name for name, _ in ours.named_parameters()} == names
    assert {name for name, _ in ours.named_buffers()} == {n for n, _ in theirs.named_buffers()}
    assert not ours.training


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("changes", VARIANTS)
def test_logits_are_those_of_transformers(changes, implementation):
    theirs, ours = pair(changes)
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


def test_gradients_are_those_of_transformers():
    theirs, ours = pair({})
    ids = torch.randint(0, 91, (3, 9))
    ids[1, 4] = 0  # the padding token, whose embedding does not learn
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
        {"num_attention_heads": 5},
        {"num_hidden_layers": "3"},
        {"vocab_size": 0},
        {"hidden_size": True},
        {"pad_token_id": 91},
        {"pad_token_id": -1},
        {"layer_norm_eps": "1e-12"},
    ],
)
def test_what_is_not_plain_is_left_to_transformers(changes):
    assert is_plain_bert(CONFIG)
    assert not is_plain_bert(CONFIG | changes)


def test_a_bert_checkpoint_needs_no_transformers(write_masked_lm, tmp_path):
    directory = write_masked_lm(tmp_path)
    code = f"""
import sys
sys.modules["transformers"] = None
from encoders.base import Document
from encoders.splade import create
rows = create("splade", {str(directory)!r}).encode_documents([Document("1", "mars")])
assert len(rows.weights) > 0
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert answer.returncode == 0, answer.stderr
