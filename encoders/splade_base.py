"""What the engines of SPLADE-type encoders share: everything but the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.base import Aggregation, Document, EncoderSpec, QuerySide, SparseRows
from encoders.checkpoint import Checkpoint, Pooling, position_limit
from encoders.cpu_head import CpuVocabularyHead
from encoders.errors import CheckpointError, EncoderError
from encoders.query.table import read_table
from encoders.query_factors import QUERY_FACTORS, read_query_factors
from encoders.shipped import SHIPPED_MODEL
from encoders.splade_options import QueryTableChoice, SpladeOptions
from encoders.splade_tokenizers import SpladeTokenizers

# Recorded in the spec for comparison; what they say follows from the directory.
RECORDED = ("content_hash", "layout", "pooling", "query_weights", "precision")

CPU_BATCH_TOKENS = 512
"""Enough for the products to be fast, few enough to stay in the cache."""

Batch = Sequence[Sequence[int]]
Row = tuple[NDArray[np.uint32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Workload:
    """What was encoded, and what it cost.

    Attributes:
        documents: Texts, those without any token included.
        tokens: Tokens read, special ones included, cut ones not.
        padded_tokens: Tokens computed.
    """

    documents: int = 0
    tokens: int = 0
    padded_tokens: int = 0

    def __add__(self, other: Workload) -> Workload:
        return Workload(
            self.documents + other.documents,
            self.tokens + other.tokens,
            self.padded_tokens + other.padded_tokens,
        )

    def __sub__(self, other: Workload) -> Workload:
        return self + Workload(-other.documents, -other.tokens, -other.padded_tokens)

    @property
    def waste(self) -> float:
        """Padding as a share of the tokens."""
        return self.padded_tokens / self.tokens - 1 if self.tokens else 0.0


class SpladeBase(ABC):
    """Tokenizers, length-bucketed batches, pruning, query side and spec.

    Attributes:
        checkpoint: Where the pieces lie, and the settings that come with them.
        options: The user's settings.
        pooling: Pooling and activation in force.
        pruning: Pruning in force.
        aggregation: How queries count a repeated token.
        tokenizers: Of documents and queries.
        content_hash: Hash of all that decides the weights, set by the engine.
        vocabulary: V, set by the engine.
        table: float32[V] published query weights or ``None``, set by the engine.
        query_factors: float32[V] factors of the entries or ``None``, set by the engine; see
            ``encoders.query_factors``.
        workload: What was encoded so far.
    """

    name = "splade"
    content_hash: str
    vocabulary: int
    table: NDArray[np.float32] | None
    query_factors: NDArray[np.float32] | None

    def __init__(self, checkpoint: Checkpoint, options: SpladeOptions) -> None:
        """Settles the settings and reads the tokenizers.

        Raises:
            CheckpointError: A tokenizer is missing or broken.
            EncoderError: An option does not fit the checkpoint.
        """
        self.checkpoint = checkpoint
        self.options = options
        self.pooling = Pooling(
            checkpoint.pooling.strategy, options.activation or checkpoint.pooling.activation
        )
        self.pruning = options.prune or checkpoint.rows.pruning
        self.aggregation: Aggregation = options.aggregation or checkpoint.rows.aggregation
        self.workload = Workload()
        self.tokenizers = SpladeTokenizers(checkpoint, _max_length(checkpoint, options))

    @property
    def spec(self) -> EncoderSpec:
        """Content hash, activation, pruning, limit and source of the query weights."""
        return EncoderSpec(
            kind="splade",
            name=self.name,
            vocabulary=self.vocabulary,
            aggregation=self.aggregation,
            max_length=self.tokenizers.max_length,
            max_weight=None,
            parameters={
                "activation": self.pooling.activation,
                "pooling": self.pooling.strategy,
                "prune": str(self.pruning),
                "max_length": self.tokenizers.max_length,
                "zero_special_tokens": self.options.zero_special_tokens,
                "aggregation": self.aggregation,
                "query_table": self._query_table(),
                "query_weights": self._query_weights_source(),
                "layout": self.checkpoint.layout,
                "content_hash": self.content_hash,
            },
        )

    @property
    def special_token_count(self) -> int:
        """Tokens that the encoder adds to every text, such as ``[CLS]`` and ``[SEP]``."""
        return self.tokenizers.special_token_count

    def token_lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens that each text takes in the encoder, added special tokens included.

        A text is truncated exactly when its length is above ``spec.max_length``. A piece of text
        may take up to ``spec.max_length - special_token_count`` tokens of its own.
        """
        return self.tokenizers.lengths(texts)

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """WordPiece counts of title and text, whole and without special tokens."""
        return self.tokenizers.count([document.full_text() for document in documents])

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Rows of learned weights, one per document, in order; pruned as the spec says.

        Raises:
            EncoderError: The model computed a weight that is not finite.
        """
        return self.encode_with(self.encode_batches, documents)

    def encode_with(
        self,
        encode_batches: Callable[[Sequence[Batch]], Iterator[list[Row]]],
        documents: Sequence[Document],
    ) -> SparseRows:
        """The same, where ``encode_batches`` takes the place of the method of this name."""
        ids = self.tokenizers.encode([document.full_text() for document in documents])
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        shortest = self.tokenizers.empty_length if self.options.zero_special_tokens else 0
        # Longest first: what does not fit in memory fails at once, not after hours.
        order = np.argsort(-lengths, kind="stable")
        order = order[lengths[order] > shortest]
        rows = [(np.empty(0, np.uint32), np.empty(0, np.float32))] * len(documents)
        batches = list(_batches(order, lengths, self.options.batch_tokens or self.batch_tokens))
        self.workload += Workload(
            len(documents),
            int(lengths[order].sum()),
            sum(len(batch) * int(lengths[batch[0]]) for batch in batches),
        )
        for batch, encoded in zip(
            batches,
            encode_batches([[ids[i] for i in batch] for batch in batches]),
            strict=True,
        ):
            for i, row in zip(batch.tolist(), encoded, strict=True):
                rows[i] = row
        indptr = np.cumsum([0, *(len(weights) for _, weights in rows)], dtype=np.int64)
        dimensions = np.concatenate([np.empty(0, np.uint32), *(row[0] for row in rows)])
        weights = np.concatenate([np.empty(0, np.float32), *(row[1] for row in rows)])
        if self.query_factors is not None:
            weights *= self.query_factors[dimensions]
        return self.pruning.apply(SparseRows(indptr, dimensions, weights))

    def query_side(self) -> QuerySide:
        """The tokenizer and, where the checkpoint publishes them, the query weights."""
        content_only = self._query_table() == "content"
        return QuerySide("wordpiece", self.tokenizers.query_json, self.table, content_only)

    @property
    @abstractmethod
    def batch_tokens(self) -> int:
        """Tokens of a batch, padding included, where the user sets none."""

    @abstractmethod
    def encode_batches(self, batches: Sequence[Batch]) -> Iterator[list[Row]]:
        """Rows of each batch of token ids, unpruned, in order."""

    def _pooled(
        self, head: CpuVocabularyHead, states: NDArray[np.float32], lengths: NDArray[np.int64]
    ) -> list[Row]:
        """Rows of texts from the states of their tokens, on the CPU."""
        # The head's maximum passes NaN over.
        if not np.isfinite(states).all():
            raise self._not_finite()
        counts, dimensions, weights = head.rows(states, lengths, self._excluded())
        if not np.isfinite(weights).all():
            raise self._not_finite()
        ends = np.cumsum(counts)[:-1]
        return list(zip(np.split(dimensions, ends), np.split(weights, ends), strict=True))

    def _excluded(self) -> list[int]:
        """Dimensions that never get a weight."""
        return sorted(self.tokenizers.special_ids) if self.options.zero_special_tokens else []

    def _not_finite(self) -> EncoderError:
        return EncoderError(
            f"{self.checkpoint.directory}: the model computed a weight that is not finite; its "
            "weights are damaged or too large for float32."
        )

    def _settle_vocabulary(self, size: int) -> None:
        """Sets what depends on it, for a model of ``size`` vocabulary rows."""
        self.tokenizers.check_vocabulary(size)
        self.vocabulary = size
        self.query_factors = read_query_factors(self.checkpoint.directory, size)
        self.table = self._published_table()

    def _factor_files(self) -> list[Path]:
        """The file of ``query_factors``, where there is one."""
        path = self.checkpoint.directory / QUERY_FACTORS
        return [path] if path.is_file() else []

    def _published_table(self) -> NDArray[np.float32] | None:
        path = self.checkpoint.table_file
        if self.options.query_table in ("corpus", "content"):
            return None
        if path is None:
            if self.options.query_table == "published":
                raise EncoderError(
                    f"{self.checkpoint.directory} publishes no query weights; leave out "
                    "query_table=published to use the idf of the indexed collection."
                )
            return None
        return read_table(path, self.tokenizers.query, self.vocabulary)

    def _query_table(self) -> QueryTableChoice:
        """The choice in force."""
        if self.table is not None:
            return "published"
        if self.options.query_table == "auto":
            return self.checkpoint.query_table
        return "content" if self.options.query_table == "content" else "corpus"

    def _query_weights_source(self) -> str:
        path = self.checkpoint.table_file
        if self.table is None or path is None:
            return "idf of the indexed collection"
        return path.relative_to(self.checkpoint.directory).as_posix()


def split_recorded(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parts options into settings and what a spec only records."""
    recorded = {key: options[key] for key in RECORDED if key in options}
    return {key: value for key, value in options.items() if key not in recorded}, recorded


def refuse_another_checkpoint(encoder: SpladeBase, recorded: Mapping[str, Any]) -> None:
    """Compares what a spec recorded with the encoder that was made again.

    Raises:
        CheckpointError: They differ.
    """
    for key, value in recorded.items():
        found = encoder.spec.parameters.get(key)
        if value != found:
            directory = encoder.checkpoint.directory
            remedy = "Give the directory of that checkpoint"
            if directory == SHIPPED_MODEL:
                remedy = "It changes with versions of Winnow: use the one that built the index"
            raise CheckpointError(
                f"{directory} is not the checkpoint that was recorded: {key} is {found!r}, not "
                f"{value!r}. {remedy}, or build the index again."
            )


def padded_tokens(lengths: NDArray[np.int64], batch_tokens: int) -> int:
    """Tokens that are computed for texts of these lengths, padding included."""
    order = np.argsort(-lengths, kind="stable")
    return sum(
        len(batch) * int(lengths[batch[0]]) for batch in _batches(order, lengths, batch_tokens)
    )


def _batches(
    order: NDArray[np.int64], lengths: NDArray[np.int64], budget: int
) -> Iterator[NDArray[np.int64]]:
    start = 0
    while start < len(order):
        end = start + max(1, budget // int(lengths[order[start]]))
        yield order[start:end]
        start = end


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
