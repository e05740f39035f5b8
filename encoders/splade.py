"""SPLADE-type checkpoints: documents by a masked language model, queries by a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.base import Document, EncoderSpec, QuerySide, SparseRows
from encoders.checkpoint import Checkpoint, Pooling, position_limit, read_checkpoint
from encoders.checkpoint_files import content_hash, weight_files
from encoders.errors import CheckpointError, EncoderError
from encoders.masked_lm import load_masked_language_model
from encoders.pruning import Pruning
from encoders.query.table import read_table
from encoders.splade_options import SpladeOptions, read_options, split_argument
from encoders.splade_tokenizers import SpladeTokenizers
from encoders.vocabulary_head import sparse_weights

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 65536

# Recorded in the spec for comparison; what they say follows from the directory.
_RECORDED = ("content_hash", "layout", "pooling", "query_weights")


Batch = Sequence[Sequence[int]]
Row = tuple[NDArray[np.uint32], NDArray[np.float32]]


class SpladeEncoder:
    """Rows over the checkpoint's vocabulary, learned terms and expansions alike.

    The weight of entry v in a document is ``log1p(relu(max_i z_iv))`` over the masked-LM logits
    z of its tokens i (SPLADE, arXiv 2109.10086), with a second ``log1p`` for checkpoints of the
    l0 kind (arXiv 2504.14839). A query is the set of its tokens, weighted by the checkpoint's
    table or by the idf of the indexed collection. Texts are encoded in order of length, so that
    few tokens are padding; rows come back in the order of the documents. The same documents in
    the same call give the same bits on one device; in other company, the last bits may differ.

    >>> encoder = create("splade", "models/doc-v3-distill")  # doctest: +SKIP
    >>> encoder.encode_documents([Document("d1", "Currently New York is rainy.")])  # doctest: +SKIP
    """

    def __init__(self, directory: Path, options: SpladeOptions | None = None) -> None:
        """Loads a checkpoint.

        Args:
            directory: One of the layouts of ``encoders.checkpoint``.
            options: Settings; by default the checkpoint's own.

        Raises:
            CheckpointError: The directory holds no valid SPLADE-type checkpoint.
            EncoderError: torch is not installed, or an option does not fit the checkpoint.
        """
        self._options = options = options or SpladeOptions()
        self._checkpoint = checkpoint = read_checkpoint(directory)
        self._pooling = Pooling(
            checkpoint.pooling.strategy, options.activation or checkpoint.pooling.activation
        )
        self._pruning = options.prune or _recorded_pruning(checkpoint)
        self._tokenizers = SpladeTokenizers(checkpoint, _max_length(checkpoint, options))
        files = weight_files(checkpoint.model_directory)
        self._content_hash = content_hash(
            [checkpoint.model_directory / "config.json", *files],
            [self._tokenizers.document_json, checkpoint.document_prompt.encode()],
        )
        self._model = load_masked_language_model(checkpoint.config, files, device=options.device)
        self._vocabulary = len(self._model.weight)
        self._tokenizers.check_vocabulary(self._vocabulary)
        self._table = self._published_table()

    @property
    def spec(self) -> EncoderSpec:
        """Content hash, activation, pruning and source of the query weights."""
        return EncoderSpec(
            kind="splade",
            name="splade",
            vocabulary=self._vocabulary,
            aggregation="binary",
            max_length=self._tokenizers.max_length,
            max_weight=None,
            parameters={
                "activation": self._pooling.activation,
                "pooling": self._pooling.strategy,
                "prune": str(self._pruning),
                "zero_special_tokens": self._options.zero_special_tokens,
                "query_table": "corpus" if self._table is None else "published",
                "query_weights": self._query_weights_source(),
                "layout": self._checkpoint.layout,
                "content_hash": self._content_hash,
            },
        )

    @property
    def special_token_count(self) -> int:
        """Tokens that the encoder adds to every text, such as ``[CLS]`` and ``[SEP]``."""
        return self._tokenizers.special_token_count

    def token_lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens that each text takes in the encoder, added special tokens included.

        A text is truncated exactly when its length is above ``spec.max_length``. A piece of text
        may take up to ``spec.max_length - special_token_count`` tokens of its own.
        """
        return self._tokenizers.lengths(texts)

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """WordPiece counts of title and text, whole and without special tokens."""
        return self._tokenizers.count([document.full_text() for document in documents])

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Rows of learned weights, one per document, in order; pruned as the spec says.

        Raises:
            EncoderError: The model computed a weight that is not finite.
        """
        ids = self._tokenizers.encode([document.full_text() for document in documents])
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        shortest = self._tokenizers.empty_length if self._options.zero_special_tokens else 0
        # Longest first: what does not fit in memory fails at once, not after hours.
        order = np.argsort(-lengths, kind="stable")
        order = order[lengths[order] > shortest]
        rows = [(np.empty(0, np.uint32), np.empty(0, np.float32))] * len(documents)
        batches = list(self._batches(order, lengths))
        for batch, encoded in zip(
            batches,
            self._encode_batches([[ids[i] for i in batch] for batch in batches]),
            strict=True,
        ):
            for i, row in zip(batch.tolist(), encoded, strict=True):
                rows[i] = row
        indptr = np.cumsum([0, *(len(weights) for _, weights in rows)], dtype=np.int64)
        return self._pruning.apply(
            SparseRows(
                indptr,
                np.concatenate([np.empty(0, np.uint32), *(row[0] for row in rows)]),
                np.concatenate([np.empty(0, np.float32), *(row[1] for row in rows)]),
            )
        )

    def query_side(self) -> QuerySide:
        """The tokenizer and, where the checkpoint publishes them, the query weights."""
        return QuerySide("wordpiece", self._tokenizers.query_json, self._table)

    def _batches(
        self, order: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        on_cpu = self._model.device.type == "cpu"
        budget = self._options.batch_tokens or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS)
        start = 0
        while start < len(order):
            end = start + max(1, budget // int(lengths[order[start]]))
            yield order[start:end]
            start = end

    def _encode_batches(self, batches: Sequence[Batch]) -> Iterator[list[Row]]:
        """On a CPU, one batch per thread: no thread waits for another within a product.

        Torch's own threads meet after every operation, which on a machine that has other work
        is slower than one thread; and results do not depend on how many threads there are.
        """
        import torch

        threads = torch.get_num_threads()
        if self._model.device.type != "cpu" or threads == 1:
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

        device = self._model.device
        lengths = torch.tensor([len(row) for row in ids])
        padding_id = int(self._checkpoint.config.get("pad_token_id") or 0)
        padded = torch.full((len(ids), int(lengths.max())), padding_id)
        for i, row in enumerate(ids):
            padded[i, : len(row)] = torch.tensor(row)
        mask = torch.arange(padded.shape[1])[None] < lengths[:, None]
        zeroed = self._options.zero_special_tokens
        excluded = sorted(self._tokenizers.special_ids) if zeroed else []
        with torch.inference_mode():
            hidden = self._model.hidden(padded.to(device), mask.long().to(device))
            counts, dimensions, values = sparse_weights(
                hidden,
                lengths.to(device),
                self._model.weight,
                self._model.bias,
                self._pooling,
                excluded,
            )
            if not bool(torch.isfinite(values).all()):
                raise EncoderError(
                    f"{self._checkpoint.directory}: the model computed a weight that is not "
                    "finite; its weights are damaged or too large for float32."
                )
            found = dimensions.cpu().numpy().astype(np.uint32)
            ends = np.cumsum(counts.cpu().numpy())[:-1]
        return list(zip(np.split(found, ends), np.split(values.cpu().numpy(), ends), strict=True))

    def _published_table(self) -> NDArray[np.float32] | None:
        path = self._checkpoint.table_file
        if self._options.query_table == "corpus":
            return None
        if path is None:
            if self._options.query_table == "published":
                raise EncoderError(
                    f"{self._checkpoint.directory} publishes no query weights; leave out "
                    "query_table=published to use the idf of the indexed collection."
                )
            return None
        return read_table(path, self._tokenizers.query, self._vocabulary)

    def _query_weights_source(self) -> str:
        path = self._checkpoint.table_file
        if self._table is None or path is None:
            return "idf of the indexed collection"
        return path.relative_to(self._checkpoint.directory).as_posix()


def create(name: str, argument: str | None = None, **options: Any) -> SpladeEncoder:
    """Makes a SPLADE encoder for the registry.

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
    recorded = {key: options.pop(key) for key in _RECORDED if key in options}
    encoder = SpladeEncoder(directory, read_options({**settings, **options}))
    for key, value in recorded.items():
        found = encoder.spec.parameters[key]
        if value != found:
            raise CheckpointError(
                f"{directory} is not the checkpoint that was recorded: {key} is {found!r}, not "
                f"{value!r}. Give the directory of that checkpoint, or build the index again."
            )
    return encoder


def _recorded_pruning(checkpoint: Checkpoint) -> Pruning:
    ratio = checkpoint.prune_ratio
    return Pruning("max_ratio", ratio) if ratio else Pruning()


def _max_length(checkpoint: Checkpoint, options: SpladeOptions) -> int:
    wanted = options.max_length
    if wanted is None:
        return checkpoint.max_length
    limit = position_limit(checkpoint.config)
    if limit is not None and wanted > limit:
        raise EncoderError(
            f"{checkpoint.directory} reads at most {limit} tokens, got max_length={wanted}; give "
            "a smaller one (long documents are split into passages that fit)."
        )
    return wanted
