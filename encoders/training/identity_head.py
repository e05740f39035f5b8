"""A vocabulary head for an encoder that has none, without any training (identity transform).

The head of a BERT-type masked language model is ``decoder(LayerNorm(GELU(dense(h))))``. With
dense = identity and a bias of +10, GELU works where it is the identity; the LayerNorm removes the
bias again, and its gain, the mean standard deviation of h, restores the scale. Tied to the word
embeddings, the logits are (h - mean h) E^T, which is h E^T up to a cosine above .9999: the
directions of the hidden states are words already. One negative decoder bias for all entries sets
how many of them stay above 0.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from encoders._transformers import masked_language_model
from encoders.checkpoint_files import WEIGHTS, read_json_object
from encoders.errors import CheckpointError
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.training.errors import TrainingError
from encoders.training.student import Student

SHIFT = 10.0
"""Bias that keeps GELU linear; hidden states of BERT-type encoders stay above -10."""


def add_identity_head(
    encoder: Path, output: Path, texts: Sequence[str], *, active_dims: int = 200
) -> None:
    """Saves a BERT-type encoder with an identity head as a masked language model.

    Args:
        encoder: Directory with config.json, model.safetensors and tokenizer.json, such as
            all-MiniLM-L6-v2.
        output: Directory to write.
        texts: A few hundred documents or more, to calibrate on.
        active_dims: Mean number of entries above 0 in a document.

    Raises:
        CheckpointError: The encoder is not of BERT's kind.
        TrainingError: There are no texts.
    """
    import torch
    from safetensors.torch import load_file, save_file

    if not texts:
        raise TrainingError("an identity head is calibrated on texts; none were given.")
    config = {**read_json_object(encoder / "config.json"), "tie_word_embeddings": True}
    config["architectures"] = ["BertForMaskedLM"]
    if config.get("model_type") != "bert":
        raise CheckpointError(
            f"{encoder} is a {config.get('model_type')!r} encoder; an identity head is made for "
            "'bert' only."
        )
    model = masked_language_model(config)
    found = model.base_model.load_state_dict(load_file(encoder / WEIGHTS), strict=False)
    missing = [name for name in found.missing_keys if not name.endswith("_ids")]
    if missing:
        raise CheckpointError(f"{encoder} lacks tensors of a BERT encoder: {missing[:3]}.")
    head = model.cls.predictions
    with torch.no_grad():
        head.transform.dense.weight.copy_(torch.eye(len(head.transform.dense.weight)))
        head.transform.dense.bias.fill_(SHIFT)
        head.transform.LayerNorm.bias.zero_()
        spread = _mean_spread(model.base_model, encoder, texts[:64])
        head.transform.LayerNorm.weight.fill_(spread)
        head.decoder.bias.zero_()
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2) + "\n"
    (output / "config.json").write_text(text, encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (encoder / name).is_file():
            shutil.copyfile(encoder / name, output / name)
    tensors: dict[int, tuple[str, torch.Tensor]] = {}
    for key, tensor in model.state_dict().items():
        tensors.setdefault(tensor.data_ptr(), (key, tensor.contiguous()))
    save_file(dict(tensors.values()), output / WEIGHTS, metadata={"format": "pt"})
    student = Student(output)
    with torch.no_grad():
        student.bias.fill_(-_threshold(student, texts, active_dims))
    student.save(output)


def _mean_spread(body: object, encoder: Path, texts: Sequence[str]) -> float:
    """Mean standard deviation of the hidden states of the texts' tokens."""
    import torch

    tokenizer = WordPieceTokenizer((encoder / "tokenizer.json").read_bytes())
    spreads = []
    for ids in tokenizer.ids_batch(texts):
        if ids:
            row = torch.tensor([ids[:126]])
            with torch.inference_mode():
                states = body(input_ids=row).last_hidden_state  # type: ignore[operator]
            spreads.append(states[0].std(dim=1, correction=0))
    mean: float = torch.cat(spreads).mean().item()
    return mean


def _threshold(student: Student, texts: Sequence[str], active_dims: int) -> float:
    """Mean over the texts of the ``active_dims``-th largest maximum over tokens."""
    import torch

    columns = np.setdiff1d(np.arange(student.vocabulary), student.special_ids)
    places = torch.from_numpy(columns)
    found = []
    for ids in student.tokens(texts, 128):
        with torch.inference_mode():
            logits = student.logits([ids], student.head(places))
        found.append(float(logits[0].topk(min(active_dims, len(columns))).values[-1]))
    return sum(found) / len(found)
