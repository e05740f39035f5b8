"""SPLADE-type encoders on ONNX Runtime: what ``indexer export-encoder`` writes. No torch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from encoders.base import EncoderSpec
from encoders.checkpoint_files import content_hash
from encoders.cpu_head import CpuVocabularyHead
from encoders.errors import CheckpointError, EncoderError
from encoders.exported import BODY, REQUIRED, TOKENIZER, head_rows, read_exported, read_head
from encoders.splade_base import (
    CPU_BATCH_TOKENS,
    Batch,
    Row,
    SpladeBase,
    refuse_another_checkpoint,
    split_recorded,
)
from encoders.splade_options import SpladeOptions, read_options, split_argument
from kernels.cpu.processors import usable_cpus


class OnnxSpladeEncoder(SpladeBase):
    """Rows over the vocabulary of an exported encoder; ``SpladeEncoder`` says what they are.

    With ``precision`` float32 the rows are those of the checkpoint but for the last bits. With
    int8 all matrices are numbers of 8 bits with scales; states are float32 all the same.

    >>> encoder = create("splade-onnx", "exported/splade")  # doctest: +SKIP
    >>> encoder.encode_documents([Document("d1", "Currently New York is rainy.")])  # doctest: +SKIP
    """

    name = "splade-onnx"

    def __init__(
        self, directory: Path, options: SpladeOptions | None = None, *, threads: int | None = None
    ) -> None:
        """Loads an exported encoder.

        Args:
            directory: What ``indexer export-encoder`` wrote; see ``encoders.exported``.
            options: Settings; by default those recorded with the export.
            threads: Batches at a time; by default ``OMP_NUM_THREADS``, or one for each processor
                that this process may use.

        Raises:
            CheckpointError: A file is missing, damaged or does not belong to the others.
            EncoderError: An option does not fit the encoder.
        """
        self._config, checkpoint, _ = read_exported(directory)
        options = options or SpladeOptions()
        if options.device not in (None, "cpu"):
            raise EncoderError(
                f"an exported encoder runs on the CPU, got device={options.device!r}; give the "
                "checkpoint itself for a GPU."
            )
        if options.neural_queries:
            raise EncoderError(
                f"{directory} is an exported encoder, which has no network for queries; give the "
                "checkpoint itself for neural_queries=true."
            )
        super().__init__(checkpoint, options)
        if self.tokenizers.special_ids != sorted(self._config.special_ids):
            raise CheckpointError(
                f"{directory / TOKENIZER} has the special tokens {self.tokenizers.special_ids}, "
                f"but encoder.json says {sorted(self._config.special_ids)}; export the checkpoint "
                "again."
            )
        self.content_hash = content_hash(
            [*(directory / name for name in REQUIRED), *self._factor_files()],
            [checkpoint.document_prompt.encode()],
        )
        self._threads = threads or _available_threads()
        self._settle_vocabulary(self._config.vocabulary)
        head = read_head(directory, self._config)
        self._embeddings = head if self._config.word_embeddings == "head" else None
        words = "input_ids" if self._embeddings is None else "inputs_embeds"
        self._body = _session(directory / BODY, {words, "attention_mask"}, "hidden")
        self._head = CpuVocabularyHead(
            head["weight"], head["bias"], self.pooling, head.get("scale")
        )

    @property
    def spec(self) -> EncoderSpec:
        """That of the checkpoint, with the precision and the hash of the exported files."""
        spec = super().spec
        return dataclasses.replace(
            spec, parameters={**spec.parameters, "precision": self._config.precision}
        )

    @property
    def batch_tokens(self) -> int:
        """The same for all models."""
        return CPU_BATCH_TOKENS

    def encode_batches(self, batches: Sequence[Batch]) -> Iterator[list[Row]]:
        """One batch per thread, each computed by one thread: results depend on no thread count."""
        if self._threads == 1 or len(batches) < 2:
            yield from map(self._encode_batch, batches)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(self._encode_batch, batches)

    def _encode_batch(self, ids: Batch) -> list[Row]:
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        inside = np.arange(lengths.max())[None] < lengths[:, None]
        padded = np.full(inside.shape, self._config.padding_id, dtype=np.int64)
        padded[inside] = np.concatenate([np.asarray(row, dtype=np.int64) for row in ids])
        words: dict[str, Any] = {"input_ids": padded}
        if self._embeddings is not None:
            words = {"inputs_embeds": head_rows(self._embeddings, padded)}
        feeds = {**words, "attention_mask": inside.astype(np.int64)}
        [hidden] = self._body.run(["hidden"], feeds)
        if hidden.shape != (*inside.shape, self._config.hidden_size):
            raise CheckpointError(
                f"{self.checkpoint.directory / BODY} gives states of the shape "
                f"{list(hidden.shape)}, not {[*inside.shape, self._config.hidden_size]}; export "
                "the checkpoint again."
            )
        return self._pooled(self._head, hidden[inside], lengths)


def create(name: str, argument: str | None = None, **options: Any) -> OnnxSpladeEncoder:
    """Makes an exported encoder for the registry.

    Args:
        name: The registered name; one family answers to it.
        argument: The directory of the export, with settings behind a question mark where wanted:
            ``DIR?max_length=256&prune=max_ratio:0.1``. See ``SpladeOptions`` for all of them.
        **options: The same settings as values; they win over those of the argument. The
            ``parameters`` of a spec are accepted, and what they record is compared with the
            directory.

    Raises:
        CheckpointError: The directory holds no valid export, or another one than was recorded.
        EncoderError: A setting is unknown or out of range.
    """
    directory, settings = split_argument(argument)
    options, recorded = split_recorded(options)
    encoder = OnnxSpladeEncoder(directory, read_options({**settings, **options}))
    refuse_another_checkpoint(encoder, recorded)
    return encoder


def _available_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return usable_cpus()


def _session(path: Path, inputs: set[str], output: str) -> Any:
    options = onnxruntime.SessionOptions()
    # Batches run side by side, each on the thread that asks.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # Its own exceptions have no common class.
        raise CheckpointError(
            f"{path}: ONNX Runtime {onnxruntime.__version__} cannot load it: {error}. Export the "
            "checkpoint again, or use a newer ONNX Runtime."
        ) from error
    found = {node.name for node in session.get_inputs()}
    if not found <= inputs or output not in {node.name for node in session.get_outputs()}:
        raise CheckpointError(
            f"{path} is another network: it reads {sorted(found)}; export the checkpoint again."
        )
    return session
