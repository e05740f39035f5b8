"""The directory of an exported encoder, which runs without torch.

``encoder.json``
    :class:`ExportedEncoder`: settings, and the hash of every other file.
``body.onnx``
    The network up to the vocabulary projection: ``input_ids`` and ``attention_mask`` int64[B, L]
    to ``hidden`` float32[B, L, d]. Where word embeddings are the rows of the projection, the input
    is ``inputs_embeds`` float32[B, L, d] in place of ``input_ids``.
``head.safetensors``
    ``weight`` float32[V, d] and ``bias`` float32[V]; or ``weight`` int8 within -63 to 63, whose
    row v stands for ``scale[v] * weight[v]``. Seven bits, because the 8-bit products of
    processors without VNNI saturate with more.
``tokenizer.json``, ``query/tokenizer.json``
    Of documents, and of queries where theirs is another one.
``query_table.safetensors``
    ``weight`` float32[V], where the checkpoint publishes query weights.
``query_factors.npy``
    float32[V], where they were trained; see ``encoders.query_factors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from encoders.base import Aggregation
from encoders.checkpoint import Activation, Checkpoint, Layout, Pooling, PoolingStrategy
from encoders.checkpoint_files import (
    EXPORT_CONFIG,
    content_hash,
    is_exported,
    read_json_object,
)
from encoders.errors import CheckpointError, EncoderError
from encoders.pruning import Pruning
from encoders.query_factors import QUERY_FACTORS
from encoders.row_settings import RowSettings

CONFIG = EXPORT_CONFIG
BODY = "body.onnx"
HEAD = "head.safetensors"
TOKENIZER = "tokenizer.json"
QUERY_TOKENIZER = "query/tokenizer.json"
QUERY_TABLE = "query_table.safetensors"
REQUIRED = (BODY, HEAD, TOKENIZER)
OPTIONAL = (QUERY_TOKENIZER, QUERY_TABLE, QUERY_FACTORS)

Precision = Literal["float32", "int8"]


class ExportedEncoder(BaseModel):
    """Content of ``encoder.json``.

    Attributes:
        format: Says what the file is.
        format_version: Version of the directory's layout.
        precision: Of the vocabulary head: ``float32`` or ``int8``.
        word_embeddings: Where they are: in ``body.onnx``, or, as the rows of the vocabulary
            projection, in ``head.safetensors``.
        vocabulary: V, rows of the vocabulary projection.
        hidden_size: d.
        activation: As in ``encoders.checkpoint.Pooling``.
        pooling: As in ``encoders.checkpoint.Pooling``.
        max_length: Tokens read of a text, special tokens included, where the user sets no other.
        position_limit: Most tokens that the network has positions for.
        special_ids: Ids of special tokens.
        padding_id: Id that fills short texts up; what it is does not matter to the result.
        document_prompt: Text put in front of every document.
        prune: Pruning of the rows where the user sets no other.
        aggregation: How queries count a repeated token where the user does not choose.
        query_table: Query weights where none are published and the user does not choose: see
            ``encoders.splade_options``.
        part_weight: Weight of the part beside English BM25, as chosen on dev sets.
        architecture: Content of the network's ``config.json``, from which ``encoders.onnx_weights``
            builds it again.
        source_layout: Layout of the checkpoint that was exported.
        source_hash: Its content hash, that of ``EncoderSpec.parameters``.
        files: Hash of each other file of the directory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["winnow-encoder"] = "winnow-encoder"
    format_version: Literal[2] = 2
    precision: Precision
    word_embeddings: Literal["body", "head"] = "body"
    vocabulary: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    activation: Activation
    pooling: PoolingStrategy
    max_length: int = Field(ge=1)
    position_limit: int | None = Field(ge=1)
    special_ids: list[int]
    padding_id: int = Field(ge=0)
    document_prompt: str
    prune: str
    aggregation: Aggregation = "binary"
    query_table: Literal["corpus", "content"] = "corpus"
    part_weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    architecture: dict[str, Any] | None = None
    source_layout: Layout
    source_hash: str
    files: dict[str, str]


def read_exported(directory: Path) -> tuple[ExportedEncoder, Checkpoint, Pruning]:
    """Reads ``encoder.json`` and checks every file against its hash.

    Returns:
        The configuration; the same as a checkpoint, for what is common to both; and its pruning.

    Raises:
        CheckpointError: There is no exported encoder, or a file is missing, altered or unknown.
    """
    if not is_exported(directory):
        raise CheckpointError(
            f"{directory} is not an exported encoder: it has no {CONFIG}. Make one with: "
            "indexer export-encoder CHECKPOINT -o DIR"
        )
    try:
        config = ExportedEncoder.model_validate(read_json_object(directory / CONFIG))
        pruning = Pruning.parse(config.prune)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{directory / CONFIG}: {where}: {first['msg']}. Export the checkpoint again."
        ) from error
    except EncoderError as error:
        raise CheckpointError(f"{directory / CONFIG}: {error}") from error
    _check_files(directory, config)
    separate = QUERY_TOKENIZER in config.files
    table = QUERY_TABLE in config.files
    checkpoint = Checkpoint(
        directory=directory,
        layout=config.source_layout,
        model_directory=directory,
        config={"max_position_embeddings": config.position_limit},
        pooling=Pooling(config.pooling, config.activation),
        query_directory=directory / Path(QUERY_TOKENIZER).parent if separate else None,
        table_file=directory / QUERY_TABLE if table else None,
        max_length=config.max_length,
        lower_case=False,
        document_prompt=config.document_prompt,
        rows=RowSettings(pruning, config.aggregation),
        query_table=config.query_table,
    )
    return config, checkpoint, pruning


def read_head(directory: Path, config: ExportedEncoder) -> dict[str, NDArray[Any]]:
    """Tensors of the vocabulary projection: ``weight``, ``bias``, and ``scale`` for int8.

    Raises:
        CheckpointError: The file is damaged, or its tensors are not those of the configuration.
    """
    path = directory / HEAD
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Export it again.") from error
    quantised = config.precision == "int8"
    size = config.vocabulary
    weight_type = np.dtype(np.int8 if quantised else np.float32)
    expected = {
        "weight": ((size, config.hidden_size), weight_type),
        "bias": ((size,), np.dtype(np.float32)),
        **({"scale": ((size,), np.dtype(np.float32))} if quantised else {}),
    }
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    if found != expected:
        raise CheckpointError(
            f"{path} holds the tensors {_shown(found)}, but {CONFIG} says {_shown(expected)}; "
            "export the checkpoint again."
        )
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise CheckpointError(f"{path} holds NaN or infinite weights; export a sound checkpoint.")
    if quantised and not (tensors["scale"] > 0).all():
        raise CheckpointError(f"{path}: a scale is not above 0; export the checkpoint again.")
    return tensors


def head_rows(head: Mapping[str, NDArray[Any]], ids: Any) -> NDArray[np.float32]:
    """float32[*ids.shape, d], rows of the projection that ``read_head`` gives.

    >>> head = {"weight": np.array([[1, 2], [3, 4]], np.int8), "scale": np.array([1, 0.5])}
    >>> head_rows(head, np.array([1])).tolist()
    [[1.5, 2.0]]
    """
    rows: NDArray[np.float32] = head["weight"][ids].astype(np.float32)
    if "scale" in head:
        rows *= head["scale"][ids][..., None].astype(np.float32)
    return rows


def _check_files(directory: Path, config: ExportedEncoder) -> None:
    names = set(config.files)
    missing = sorted(set(REQUIRED) - names)
    unknown = sorted(names - {*REQUIRED, *OPTIONAL})
    if missing or unknown:
        problem = f"does not name {missing[0]}" if missing else f"names {unknown[0]!r}"
        raise CheckpointError(f"{directory / CONFIG} {problem}; export the checkpoint again.")
    for name, recorded in config.files.items():
        path = directory / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; copy the whole directory again.")
        if content_hash([path], ()) != recorded:
            raise CheckpointError(
                f"{path} is not the file that was exported: it is truncated or was changed. Copy "
                "the directory again, or export the checkpoint again."
            )


def _shown(tensors: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return ", ".join(
        f"{name} {dtype}{list(shape)}" for name, (shape, dtype) in sorted(tensors.items())
    )
