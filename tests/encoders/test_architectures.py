"""Masked language models of other architectures give the rows of transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.base import Document
from encoders.errors import CheckpointError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the [encode] extra")
transformers = pytest.importorskip("transformers", reason="needs the [encode] extra")

from encoders.splade import create  # noqa: E402

TEXTS = ["what is the weather in new york now", "mars", "red planet " * 5, "rank ?"]
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}


def written(
    directory: Path, write_tokenizer: Any, tokens: list[str], name: str, settings: dict[str, int]
) -> Any:
    """A random model, and its directory as transformers writes it."""
    torch.manual_seed(3)
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokens), **(SIZES | settings))
    model = getattr(transformers, f"{name}ForMaskedLM")(config).eval()
    with torch.no_grad():
        if model.get_output_embeddings().bias is not None:
            model.get_output_embeddings().bias.normal_(-1, 1)
    model.save_pretrained(directory)
    write_tokenizer(directory)
    return model


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Roberta", {"max_position_embeddings": 66}),
        ("XLMRoberta", {"max_position_embeddings": 66}),
        ("Camembert", {"max_position_embeddings": 66}),
        ("MPNet", {"max_position_embeddings": 66}),
        ("Albert", {"embedding_size": 16, "max_position_embeddings": 64}),
        ("ModernBert", {"cls_token_id": 2, "sep_token_id": 3, "max_position_embeddings": 64}),
        ("Electra", {"embedding_size": 32, "max_position_embeddings": 64}),
    ],
)
def test_rows_are_those_of_transformers(
    tmp_path: Path, write_tokenizer: Any, tokens: list[str], name: str, settings: dict[str, int]
) -> None:
    model = written(tmp_path, write_tokenizer, tokens, name, settings)
    encoder = create("splade", str(tmp_path), zero_special_tokens=False)
    rows = encoder.encode_documents([Document(str(i), text) for i, text in enumerate(TEXTS)])
    for number, ids in enumerate(encoder.tokenizers.encode(TEXTS)):
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits
        expected = logits.amax(1).relu().log1p()[0].numpy()
        found = np.zeros_like(expected)
        span = slice(rows.indptr[number], rows.indptr[number + 1])
        found[rows.dimensions[span]] = rows.weights[span]
        np.testing.assert_allclose(found, expected, atol=2e-5)
        assert np.count_nonzero(expected)


def test_an_architecture_that_reads_padding_is_refused(
    tmp_path: Path, write_tokenizer: Any, tokens: list[str]
) -> None:
    """Its rows would depend on which documents are encoded together."""
    settings = {"embedding_size": 32, "max_position_embeddings": 64}
    written(tmp_path, write_tokenizer, tokens, "ConvBert", settings)
    with pytest.raises(CheckpointError, match="ConvBertForMaskedLM reads padding as text"):
        create("splade", str(tmp_path))
