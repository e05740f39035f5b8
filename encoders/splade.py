"""SPLADE-type checkpoints: documents by a masked language model, queries by a table."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from encoders.base import Document, SparseRows
from encoders.checkpoint import Checkpoint, query_checkpoint, read_checkpoint
from encoders.checkpoint_files import content_hash, is_exported, weight_files
from encoders.cpu_head import CpuVocabularyHead
from encoders.errors import CheckpointError, EncoderError
from encoders.masked_lm import load_masked_language_model
from encoders.pruning import Pruning
from encoders.splade_base import (
    CPU_BATCH_TOKENS,
    Batch,
    Row,
    SpladeBase,
    refuse_another_checkpoint,
    split_recorded,
)
from encoders.splade_options import SpladeOptions, read_options, split_argument
from encoders.splade_tokenizers import SpladeTokenizers, refuse_other_numbers
from encoders.vocabulary_head import sparse_weights

GPU_BATCH_TOKENS = 65536


class SpladeEncoder(SpladeBase):
    """Rows over the checkpoint's vocabulary, learned terms and expansions alike.

    The weight of entry v in a document is ``log1p(relu(max_i z_iv))`` over the masked-LM logits
    z of its tokens i (SPLADE, arXiv 2109.10086), with a second ``log1p`` for checkpoints of the
    l0 kind (arXiv 2504.14839). A query is the set of its tokens, weighted by the checkpoint's
    table or by the idf of the indexed collection; ``encode_queries`` gives it the network's weights
    instead, for callers that ask for them. Texts are encoded in order of length, so that
    few tokens are padding; rows come back in the order of the documents. The same documents in
    the same call give the same bits on one device; in other company, the last bits may differ.

    Attributes:
        language_model: The network, its vocabulary projection apart.

    >>> encoder = create("splade", "models/doc-v3-distill")  # doctest: +SKIP
    >>> encoder.encode_documents([Document("d1", "Currently New York is rainy.")])  # doctest: +SKIP
    """

    def __init__(self, directory: Path | Checkpoint, options: SpladeOptions | None = None) -> None:
        """Loads a checkpoint.

        Args:
            directory: One of the layouts of ``encoders.checkpoint``, or what was read of it.
            options: Settings; by default the checkpoint's own.

        Raises:
            CheckpointError: The directory holds no valid SPLADE-type checkpoint.
            EncoderError: torch is not installed, or an option does not fit the checkpoint.
        """
        checkpoint = directory
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = read_checkpoint(checkpoint)
        super().__init__(checkpoint, options or SpladeOptions())
        if self.options.neural_queries and checkpoint.query_directory is not None:
            raise EncoderError(
                f"{checkpoint.directory} answers queries by a table, as it was trained, and has no "
                "network for them; leave out neural_queries=true."
            )
        files = weight_files(checkpoint.model_directory)
        self.content_hash = content_hash(
            [checkpoint.model_directory / "config.json", *files, *self._factor_files()],
            [self.tokenizers.document_json, checkpoint.document_prompt.encode()],
        )
        self.language_model = load_masked_language_model(
            checkpoint.config, files, device=self.options.device
        )
        self._settle_vocabulary(len(self.language_model.weight))
        self._queries: SpladeEncoder | None = None
        self._head: CpuVocabularyHead | None = None
        if self.language_model.device.type == "cpu":
            weight, bias = self.language_model.weight, self.language_model.bias
            self._head = CpuVocabularyHead(weight.numpy(), bias.numpy(), self.pooling)

    @property
    def batch_tokens(self) -> int:
        """512 on a CPU, 65,536 on a GPU."""
        on_cpu = self.language_model.device.type == "cpu"
        return CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS

    def encode_queries(self, texts: Sequence[str]) -> SparseRows:
        """Rows of queries by the network, for experiments and evaluation; an index has a table.

        A symmetric checkpoint has one network for both sides. A Router may have another for
        queries, which is loaded when it is first asked. The checkpoint's prompt for queries is put
        in front, and nothing is pruned.

        Raises:
            EncoderError: ``neural_queries=true`` was not asked for, or the model computed a weight
                that is not finite.
            CheckpointError: The Router's network for queries is not valid.
        """
        if not self.options.neural_queries:
            raise EncoderError(
                f"{self.checkpoint.directory}: queries are answered by a table; ask for those of "
                f"the network with splade:{self.checkpoint.directory}?neural_queries=true"
            )
        if self._queries is None:
            self._queries = self._of_queries()
        documents = [Document(str(number), text) for number, text in enumerate(texts)]
        return self._queries.encode_documents(documents)

    def _of_queries(self) -> SpladeEncoder:
        """An encoder to which queries are documents."""
        checkpoint = query_checkpoint(self.checkpoint)
        if self.checkpoint.query_chain is None:
            encoder = copy.copy(self)
            encoder.checkpoint = checkpoint
            encoder.tokenizers = SpladeTokenizers(checkpoint, self.tokenizers.max_length)
        else:
            ours = self.options
            encoder = SpladeEncoder(
                checkpoint,
                SpladeOptions(
                    zero_special_tokens=ours.zero_special_tokens,
                    device=ours.device,
                    batch_tokens=ours.batch_tokens,
                ),
            )
            if encoder.vocabulary != self.vocabulary:
                raise CheckpointError(
                    f"{checkpoint.directory}: the network for queries has {encoder.vocabulary} "
                    f"vocabulary rows, that for documents {self.vocabulary}; copy all of the "
                    "checkpoint from one source."
                )
            refuse_other_numbers(
                checkpoint.directory, self.tokenizers.query, encoder.tokenizers.query
            )
        encoder.pruning = Pruning()
        encoder.query_factors = None  # A product has each factor once: in the document.
        return encoder

    def encode_batches(self, batches: Sequence[Batch]) -> Iterator[list[Row]]:
        """On a CPU, one batch per thread: no thread waits for another within a product.

        Torch's own threads meet after every operation, which on a machine that has other work
        is slower than one thread; and results do not depend on how many threads there are.
        """
        import torch

        threads = torch.get_num_threads()
        if self.language_model.device.type != "cpu" or threads == 1:
            yield from map(self._encode_batch, batches)
            return
        try:
            with ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                yield from pool.map(self._encode_batch, batches)
        finally:
            torch.set_num_threads(threads)

    def _encode_batch(self, ids: Batch) -> list[Row]:
        import torch

        device = self.language_model.device
        lengths = torch.tensor([len(row) for row in ids])
        padding_id = int(self.checkpoint.config.get("pad_token_id") or 0)
        padded = torch.full((len(ids), int(lengths.max())), padding_id)
        for i, row in enumerate(ids):
            padded[i, : len(row)] = torch.tensor(row)
        mask = torch.arange(padded.shape[1])[None] < lengths[:, None]
        with torch.inference_mode():
            hidden = self.language_model.hidden(padded.to(device), mask.long().to(device))
            if self._head is not None:
                return self._pooled(self._head, hidden[mask].numpy(), lengths.numpy())
            counts, dimensions, values = sparse_weights(
                hidden,
                lengths.to(device),
                self.language_model.weight,
                self.language_model.bias,
                self.pooling,
                self._excluded(),
            )
            if not bool(torch.isfinite(values).all()):
                raise self._not_finite()
            found = dimensions.cpu().numpy().astype(np.uint32)
            ends = np.cumsum(counts.cpu().numpy())[:-1]
        return list(zip(np.split(found, ends), np.split(values.cpu().numpy(), ends), strict=True))


def create(name: str, argument: str | None = None, **options: Any) -> SpladeBase:
    """Makes a SPLADE encoder for the registry; an exported one where the directory holds that.

    Args:
        name: The registered name; one family answers to it.
        argument: The checkpoint's directory, with settings behind a question mark where wanted:
            ``DIR?max_length=256&prune=max_ratio:0.1``. See ``SpladeOptions`` for all of them.
        **options: The same settings as values; they win over those of the argument. The
            ``parameters`` of a spec are accepted, and what they record is compared with the
            directory.

    Raises:
        CheckpointError: The directory holds no valid SPLADE-type checkpoint, or another one than
            was recorded.
        EncoderError: A setting is unknown or out of range, or torch is not installed.
    """
    directory, settings = split_argument(argument)
    if is_exported(directory):
        from encoders.onnx import create as create_exported

        return create_exported(name, argument, **options)
    options, recorded = split_recorded(options)
    encoder = SpladeEncoder(directory, read_options({**settings, **options}))
    refuse_another_checkpoint(encoder, recorded)
    return encoder
