"""The network of a checkpoint as an ONNX file: from words to what enters the vocabulary head."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoders.errors import CheckpointError
from encoders.exported import Precision, head_rows
from encoders.masked_lm import MaskedLanguageModel
from encoders.onnx_quantisation import round_layers, store_layers
from encoders.splade import SpladeEncoder

OPSET = 17
TOLERANCE = 1e-4
"""Largest difference of a state, relative to the largest state, that an export may have."""


def write_body(
    encoder: SpladeEncoder, head: Mapping[str, NDArray[Any]], precision: Precision, path: Path
) -> Literal["body", "head"]:
    """Writes the network in front of the vocabulary head and compares it with the checkpoint's.

    Args:
        encoder: The checkpoint. With ``int8`` its weights are rounded to what is stored.
        head: Tensors of the exported head, as ``encoders.exported.read_head`` gives them.
        precision: ``int8`` stores the matrices in 8 bits, and word embeddings that are not those
            of the head in half precision.
        path: The ONNX file.

    Returns:
        Where the word embeddings are, see ``encoders.exported.ExportedEncoder``.

    Raises:
        CheckpointError: The network cannot be exported.
    """
    model = encoder.language_model
    is_shared = _shares_embeddings(model)
    if precision == "int8":
        round_layers(model.body)
        if not is_shared:
            _halve_word_embeddings(model.body)
    shared = head if is_shared else None
    if shared is not None:
        _set_embeddings(model, head_rows(shared, slice(None)))
    where = encoder.checkpoint.directory
    _export(model, shared, where, path)
    if precision == "int8":
        store_layers(path)
    _compare(encoder, shared, path)
    return "head" if is_shared else "body"


def _shares_embeddings(model: MaskedLanguageModel) -> bool:
    """Whether word embeddings are the rows of the projection and can come from outside."""
    import torch

    embeddings = model.body.get_input_embeddings()
    return (
        type(embeddings) is torch.nn.Embedding
        and "inputs_embeds" in inspect.signature(model.body.forward).parameters
        and torch.equal(embeddings.weight, model.weight)
    )


def _set_embeddings(model: MaskedLanguageModel, rows: NDArray[np.float32]) -> None:
    import torch

    embeddings = torch.nn.Embedding.from_pretrained(torch.from_numpy(rows))
    model.body.set_input_embeddings(embeddings.to(model.device))


def _halve_word_embeddings(body: Any) -> None:
    """Half precision where a lookup is all that is computed; most of a small network's bytes."""
    import torch

    embeddings = body.get_input_embeddings()
    if type(embeddings) is not torch.nn.Embedding:
        return
    half = embeddings.weight.detach().half()
    if not bool(half.isfinite().all()):
        return

    class HalfEmbeddings(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(half, requires_grad=False)

        def forward(self, ids: Any) -> Any:
            return torch.nn.functional.embedding(ids, self.weight).float()

    body.set_input_embeddings(HalfEmbeddings())


def _export(
    model: MaskedLanguageModel,
    shared: Mapping[str, NDArray[Any]] | None,
    where: Path,
    path: Path,
) -> None:
    import torch

    # Attention spelled out is faster in ONNX Runtime than an export of torch's fused one, which
    # spends a sixth of the time on passes over the mask.
    model.body.set_attn_implementation("eager")
    ids, mask = _example(len(model.weight), 3, 7)
    feeds = _feeds(shared, ids, mask)
    axes = {0: "batch", 1: "length"}
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        # The tracer warns of every shape that it looks at; the comparison is the proof.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                _body_module(model.body, next(iter(feeds))),
                tuple(torch.from_numpy(array).to(model.device) for array in feeds.values()),
                str(path),
                input_names=list(feeds),
                output_names=["hidden"],
                dynamic_axes=dict.fromkeys((*feeds, "hidden"), axes),
                opset_version=OPSET,
                dynamo=False,
            )
        except Exception as error:  # Whatever an operator of the network lacks.
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{where}: the network cannot be exported to ONNX: {reason}"
            ) from error


def _feeds(
    shared: Mapping[str, NDArray[Any]] | None, ids: NDArray[np.int64], mask: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Inputs of the exported network."""
    if shared is None:
        return {"input_ids": ids, "attention_mask": mask}
    return {"inputs_embeds": head_rows(shared, ids), "attention_mask": mask}


def _body_module(body: Any, words: str) -> Any:
    import torch

    class Body(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, inputs: Any, attention_mask: Any) -> Any:
            return self.body(**{words: inputs}, attention_mask=attention_mask).logits

    return Body().eval()


def _example(
    vocabulary: int, batch: int, length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids = np.random.default_rng(length).integers(0, vocabulary, (batch, length))
    lengths = np.maximum(1, length - np.arange(batch) * max(1, length // 3))
    mask = (np.arange(length)[None] < lengths[:, None]).astype(np.int64)
    return ids, mask


def _compare(encoder: SpladeEncoder, shared: Mapping[str, NDArray[Any]] | None, path: Path) -> None:
    """Refuses an export that is another function than the checkpoint's network."""
    import onnxruntime
    import torch

    model = encoder.language_model
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    longest = encoder.tokenizers.max_length
    for batch, length in ((1, 1), (2, 5), (4, min(33, longest)), (2, longest)):
        ids, mask = _example(encoder.vocabulary, batch, length)
        [found] = session.run(["hidden"], _feeds(shared, ids, mask))
        with torch.inference_mode():
            tensors = (torch.from_numpy(array).to(model.device) for array in (ids, mask))
            expected = model.hidden(*tensors).float().cpu().numpy()
        inside = mask.astype(bool)
        difference = np.abs(found - expected)[inside].max() / max(1, np.abs(expected).max())
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"{encoder.checkpoint.directory}: the exported network differs from the "
                f"checkpoint's by {difference:.1e} on texts of {length} tokens; its architecture "
                "cannot be exported, use the checkpoint itself."
            )
