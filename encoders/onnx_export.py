"""Writes an encoder that runs without torch from a SPLADE-type checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.checkpoint import position_limit
from encoders.checkpoint_files import content_hash
from encoders.errors import EncoderError
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
from encoders.masked_lm import MaskedLanguageModel
from encoders.onnx_body import write_body
from encoders.onnx_quantisation import symmetric_levels
from encoders.query_factors import QUERY_FACTORS
from encoders.splade import SpladeEncoder
from encoders.splade_options import SpladeOptions

LARGEST_LEVEL = 63
"""Of an 8-bit weight; see ``encoders.exported``."""


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
        precision: ``int8`` for weights of 8 bits: a quarter of the size. Everything is computed in
            float32: ONNX Runtime would take one scale for a whole batch of states, so that a
            document's row depended on its company.
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
    head = _head(model, precision)
    _save(head, directory / HEAD)
    word_embeddings = write_body(encoder, head, precision, directory / BODY)
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
        word_embeddings=word_embeddings,
        vocabulary=model.weight.shape[0],
        hidden_size=model.weight.shape[1],
        activation=encoder.pooling.activation,
        pooling=encoder.pooling.strategy,
        max_length=tokenizers.max_length,
        position_limit=position_limit(encoder.checkpoint.config),
        special_ids=tokenizers.special_ids,
        padding_id=int(encoder.checkpoint.config.get("pad_token_id") or 0),
        document_prompt=encoder.checkpoint.document_prompt,
        prune=str(encoder.pruning),
        aggregation=encoder.aggregation,
        query_table="content" if encoder.query_side().content_only else "corpus",
        part_weight=part_weight,
        architecture=dict(encoder.checkpoint.config),
        source_layout=encoder.checkpoint.layout,
        source_hash=encoder.content_hash,
        files={path.relative_to(directory).as_posix(): content_hash([path], ()) for path in files},
    )
    (directory / CONFIG).write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return config


def _head(model: MaskedLanguageModel, precision: Precision) -> dict[str, NDArray[Any]]:
    weight = model.weight.float().cpu().numpy()
    bias = model.bias.float().cpu().numpy()
    if precision == "float32":
        return {"weight": weight, "bias": bias}
    levels, scale = symmetric_levels(weight, LARGEST_LEVEL)
    return {"weight": levels, "scale": scale, "bias": bias}


def _save(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(t) for name, t in tensors.items()}))
