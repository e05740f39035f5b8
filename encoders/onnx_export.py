"""Writes an encoder that runs without torch from a SPLADE-type checkpoint."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.checkpoint import position_limit
from encoders.checkpoint_files import content_hash
from encoders.errors import CheckpointError, EncoderError
from encoders.exported import (
    BODY,
    CONFIG,
    HEAD,
    QUERY_TABLE,
    QUERY_TOKENIZER,
    TOKENIZER,
    ExportedEncoder,
    Precision,
)
from encoders.query_factors import QUERY_FACTORS
from encoders.splade import SpladeEncoder
from encoders.splade_options import SpladeOptions

OPSET = 17
LARGEST_LEVEL = 63
"""Of an 8-bit weight; see ``encoders.exported``."""

TOLERANCE = 1e-4
"""Largest difference of a state, relative to the largest state, that an export may have."""


def export_encoder(
    checkpoint: Path,
    output: Path,
    *,
    options: SpladeOptions | None = None,
    precision: Precision = "float32",
    part_weight: float = 1.0,
    overwrite: bool = False,
) -> ExportedEncoder:
    """Exports a checkpoint.

    The directory appears whole or not at all. The exported network is compared with the
    checkpoint's on batches of several shapes before it is written.

    Args:
        checkpoint: Directory of a SPLADE-type checkpoint; see ``encoders.checkpoint``.
        output: Directory to write; see ``encoders.exported``.
        options: Settings recorded with the export; by default the checkpoint's own.
        precision: ``int8`` for a faster, less exact vocabulary head with smaller weights, and word
            embeddings stored in half precision. The network in between stays in float32: ONNX
            Runtime would take one scale for a whole batch there, so that a document's row
            depended on its company.
        part_weight: Weight of the part beside English BM25; see ``encoders.shipped``.
        overwrite: Replace an exported encoder that is there.

    Raises:
        CheckpointError: The checkpoint is not valid, or its network cannot be exported.
        EncoderError: torch or onnx is not installed, or ``output`` exists.

    >>> export_encoder(Path("models/splade"), Path("exported/splade"))  # doctest: +SKIP
    """
    _refuse_overwriting(output, overwrite=overwrite)
    _require_onnx()
    options = options or SpladeOptions()
    encoder = SpladeEncoder(checkpoint, options)
    output = output.absolute()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as name:
            work = Path(name) / "export"
            work.mkdir()
            config = _write(encoder, work, precision, part_weight)
            if overwrite and output.exists():
                output.rename(Path(name) / "replaced")
            work.rename(output)
    except OSError as error:
        raise EncoderError(f"{output} cannot be written: {error}.") from error
    return config


def _refuse_overwriting(output: Path, *, overwrite: bool) -> None:
    if not output.exists():
        return
    if overwrite and (output / CONFIG).is_file():
        return
    what = "exists; replace it with --overwrite" if (output / CONFIG).is_file() else "exists"
    raise EncoderError(f"{output} {what}, or give another directory with -o.")


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise EncoderError(
            f"exporting a checkpoint needs the package {error.name!r}, which cannot be imported; "
            "install it with: pip install 'winnow-search[encode]'"
        ) from error


def _write(
    encoder: SpladeEncoder, directory: Path, precision: Precision, part_weight: float
) -> ExportedEncoder:
    model, tokenizers = encoder.language_model, encoder.tokenizers
    if precision == "int8":
        _halve_word_embeddings(model.body)
    _write_body(encoder, directory)
    weight = model.weight.float().cpu().numpy()
    bias = model.bias.float().cpu().numpy()
    _save({**_projection(weight, precision), "bias": bias}, directory / HEAD)
    (directory / TOKENIZER).write_bytes(tokenizers.document_json)
    if tokenizers.query_json != tokenizers.document_json:
        (directory / QUERY_TOKENIZER).parent.mkdir()
        (directory / QUERY_TOKENIZER).write_bytes(tokenizers.query_json)
    if encoder.table is not None:
        _save({"weight": encoder.table}, directory / QUERY_TABLE)
    if encoder.query_factors is not None:
        np.save(directory / QUERY_FACTORS, encoder.query_factors)
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    config = ExportedEncoder(
        precision=precision,
        vocabulary=weight.shape[0],
        hidden_size=weight.shape[1],
        activation=encoder.pooling.activation,
        pooling=encoder.pooling.strategy,
        max_length=tokenizers.max_length,
        position_limit=position_limit(encoder.checkpoint.config),
        special_ids=tokenizers.special_ids,
        padding_id=int(encoder.checkpoint.config.get("pad_token_id") or 0),
        document_prompt=encoder.checkpoint.document_prompt,
        prune=str(encoder.pruning),
        part_weight=part_weight,
        architecture=dict(encoder.checkpoint.config),
        source_layout=encoder.checkpoint.layout,
        source_hash=encoder.content_hash,
        files={path.relative_to(directory).as_posix(): content_hash([path], ()) for path in files},
    )
    (directory / CONFIG).write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return config


def _write_body(encoder: SpladeEncoder, directory: Path) -> None:
    import torch

    model = encoder.language_model
    # Attention spelled out is faster in ONNX Runtime than an export of torch's fused one, which
    # spends a sixth of the time on passes over the mask.
    model.body.set_attn_implementation("eager")
    body = _body_module(model.body)
    ids, mask = _example(len(model.weight), 3, 7)
    names = {0: "batch", 1: "length"}
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        # The tracer warns of every shape that it looks at; the comparison below is the proof.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                body,
                (torch.from_numpy(ids).to(model.device), torch.from_numpy(mask).to(model.device)),
                str(directory / BODY),
                input_names=["input_ids", "attention_mask"],
                output_names=["hidden"],
                dynamic_axes=dict.fromkeys(("input_ids", "attention_mask", "hidden"), names),
                opset_version=OPSET,
                dynamo=False,
            )
        except Exception as error:  # Whatever an operator of the network lacks.
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{encoder.checkpoint.directory}: the network cannot be exported to ONNX: {reason}"
            ) from error
    _compare(encoder, directory / BODY)


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


def _body_module(body: Any) -> Any:
    import torch

    class Body(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.body(input_ids=input_ids, attention_mask=attention_mask).logits

    return Body().eval()


def _example(
    vocabulary: int, batch: int, length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids = np.random.default_rng(length).integers(0, vocabulary, (batch, length))
    lengths = np.maximum(1, length - np.arange(batch) * max(1, length // 3))
    mask = (np.arange(length)[None] < lengths[:, None]).astype(np.int64)
    return ids, mask


def _compare(encoder: SpladeEncoder, path: Path) -> None:
    """Refuses an export that is another function than the checkpoint's network."""
    import onnxruntime
    import torch

    model = encoder.language_model
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    longest = encoder.tokenizers.max_length
    for batch, length in ((1, 1), (2, 5), (4, min(33, longest)), (2, longest)):
        ids, mask = _example(encoder.vocabulary, batch, length)
        [found] = session.run(["hidden"], {"input_ids": ids, "attention_mask": mask})
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


def _projection(weight: NDArray[np.float32], precision: Precision) -> Mapping[str, NDArray[Any]]:
    if precision == "float32":
        return {"weight": weight}
    largest = np.abs(weight).max(axis=1)
    scale = np.where(largest > 0, largest / LARGEST_LEVEL, 1).astype(np.float32)
    levels = np.rint(weight / scale[:, None])
    return {
        "weight": np.clip(levels, -LARGEST_LEVEL, LARGEST_LEVEL).astype(np.int8),
        "scale": scale,
    }


def _save(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(t) for name, t in tensors.items()}))
