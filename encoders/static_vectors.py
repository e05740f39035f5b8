"""Static vectors: a text as the weighted sum of its tokens' vectors, with no network.

Documents get theirs when they are indexed, a query's is summed when it is asked; their cosine
re-ranks the first documents of a search (``retriever.reranking``). The table is fitted to a dense
teacher (``encoders.training.static_table``). Files of a directory: ``vectors.json``, which says
what it is, ``table.safetensors``: ``vectors`` int8[V, d], ``document_weight`` and
``query_weight`` float32[V], ``bias`` float32[d], and the axes of ``encoders.dense_vectors``. Tokens
are those of bert-base-uncased.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from encoders.base import Document
from encoders.checkpoint_files import content_hash
from encoders.document_vectors import quantise_vectors
from encoders.errors import CheckpointError
from encoders.query.tokenizer import (
    WordPieceTokenizer,
    default_tokenizer_json,
    shared_tokenizer,
)
from encoders.static_config import (
    CONFIG_NAME,
    DENSE_NAME,
    DenseRecord,
    StaticConfig,
    StaticRecord,
)
from kernels.cpu.vectors import pool_tokens

TABLE_NAME = "table.safetensors"


@dataclass(frozen=True)
class StaticTable:
    """A vector per token and what it weighs.

    Attributes:
        vectors: int8[V, d].
        document_weight: float32[V], worth of a step of a token's vector in a document.
        query_weight: float32[V], the same in a query.
        bias: float32[d], added to every document.
    """

    vectors: NDArray[np.int8]
    document_weight: NDArray[np.float32]
    query_weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def quantised(
        cls,
        vectors: NDArray[np.float32],
        document_weight: NDArray[np.float32],
        query_weight: NDArray[np.float32],
        bias: NDArray[np.float32],
    ) -> Self:
        """Rounds vectors to 8 bits each with a step of its own, which goes into the weights."""
        step = np.abs(vectors).max(axis=1) / 127
        safe = np.where(step > 0, step, 1)
        rounded = np.rint(vectors / safe[:, None]).astype(np.int8)
        return cls(
            rounded,
            (document_weight * step).astype(np.float32),
            (query_weight * step).astype(np.float32),
            bias.astype(np.float32),
        )

    def document_sums(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """float32[n, d] of norm 1: documents, given as their tokens; see ``pool_tokens``."""
        lengths = [len(tokens) for tokens in texts]
        starts = np.cumsum([0, *lengths], dtype=np.int64)
        tokens = np.fromiter((token for text in texts for token in text), np.int32, int(starts[-1]))
        sums = np.empty((len(texts), self.vectors.shape[1]), dtype=np.float32)
        seen = np.zeros(len(self.vectors), dtype=np.int32)
        pool_tokens(tokens, starts, self.vectors, self.document_weight, self.bias, seen, sums)
        return sums


@dataclass(frozen=True)
class DenseAxes:
    """From the vectors of the network that a table was fitted to, to those of the table.

    Attributes:
        name: Of the network.
        axes: float16[h, d].
        probe: float16[h], see ``encoders.dense_vectors.PROBE``.
        use: How an index uses such vectors.
    """

    name: str
    axes: NDArray[np.float16]
    probe: NDArray[np.float16]
    use: StaticConfig


class StaticVectors:
    """Gives documents their static vectors.

    >>> from encoders.shipped import SHIPPED_VECTORS
    >>> vectors = StaticVectors.read(SHIPPED_VECTORS)
    >>> found = vectors.document_vectors([Document("a", "a red apple"), Document("b", "")])
    >>> found.dtype, bool(found[0].any()), bool(found[1].any())
    (dtype('int8'), True, False)
    """

    label = "static vectors"

    def __init__(
        self,
        table: StaticTable,
        config: StaticConfig,
        argument: str | None = None,
        dense: DenseRecord | None = None,
    ) -> None:
        """Vectors of a table.

        Args:
            table: Its arrays fit each other and the tokens.
            config: How to use it.
            argument: Where it was read from, ``None`` for the table that comes with Winnow.
            dense: The network that it was fitted to, if the axes are there.
        """
        self.table = table
        self.config = config
        self.argument = argument
        self.dense = dense
        self.tokenizer_json = default_tokenizer_json()

    @classmethod
    def read(cls, directory: Path, argument: str | None = None) -> Self:
        """Reads a directory that :func:`write_static_vectors` wrote.

        Args:
            directory: The directory.
            argument: What an index records of where it is.

        Raises:
            CheckpointError: A file is missing or damaged, or does not fit the tokens.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            record = StaticRecord.model_validate_json((directory / CONFIG_NAME).read_bytes())
            content = (directory / TABLE_NAME).read_bytes()
            table = StaticTable(**load(content))
        except (OSError, ValidationError, SafetensorError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"{directory}: no static vectors ({CONFIG_NAME}, {TABLE_NAME}): "
                f"{str(error).splitlines()[0]}."
            ) from None
        if content_hash((), [content]) != record.table:
            raise CheckpointError(
                f"{directory / TABLE_NAME} is not the file that {CONFIG_NAME} was written with: "
                "copy the folder again."
            )
        vectors = cls(table, record.use, argument, record.dense)
        vectors._check(directory)
        return vectors

    def _check(self, directory: Path) -> None:
        """Checks that the table's arrays fit each other and the tokens.

        Raises:
            CheckpointError: They don't.
        """
        table = self.table
        size = self.tokenizer.vocab_size
        shapes: dict[str, tuple[NDArray[Any], type, tuple[int, ...]]] = {
            "vectors": (table.vectors, np.int8, (size, *table.vectors.shape[-1:])),
            "document_weight": (table.document_weight, np.float32, (size,)),
            "query_weight": (table.query_weight, np.float32, (size,)),
            "bias": (table.bias, np.float32, table.vectors.shape[-1:]),
        }
        for name, (array, dtype, shape) in shapes.items():
            fits = array.dtype == dtype and array.shape == shape and array.size
            if not fits or not np.isfinite(array).all():
                raise CheckpointError(
                    f"{directory / TABLE_NAME}: {name} must be {np.dtype(dtype)}{list(shape)} of "
                    f"finite numbers, got {array.dtype}{list(array.shape)}. Fit the table again."
                )

    @property
    def query_table(self) -> NDArray[np.int8]:
        """int8[V, d], a vector per token."""
        return self.table.vectors

    @property
    def query_weight(self) -> NDArray[np.float32]:
        """float32[V], worth of a step of a token's vector in a query."""
        return self.table.query_weight

    @property
    def dimensions(self) -> int:
        """Of a vector."""
        return int(self.table.vectors.shape[1])

    @cached_property
    def tokenizer(self) -> WordPieceTokenizer:
        """Tokens of bert-base-uncased."""
        return shared_tokenizer(self.tokenizer_json)

    @cached_property
    def content_hash(self) -> str:
        """Of all that decides the vectors of documents."""
        table = self.table
        arrays = (table.vectors, table.document_weight, table.bias)
        contents = [np.ascontiguousarray(array).tobytes() for array in arrays]
        return content_hash((), [str(self.config.max_length).encode(), *contents])

    def document_vectors(self, documents: Sequence[Document]) -> NDArray[np.int8]:
        """int8[n, d] in steps of ``VECTOR_STEP``; zeros for a document without tokens."""
        ids = self.tokenizer.ids_batch([document.full_text() for document in documents])
        texts = [tokens[: self.config.max_length] for tokens in ids]
        return quantise_vectors(self.table.document_sums(texts))


def write_static_vectors(
    directory: Path, table: StaticTable, config: StaticConfig, dense: DenseAxes | None = None
) -> None:
    """Writes a directory that :meth:`StaticVectors.read` reads.

    Args:
        directory: Made when missing.
        table: The table.
        config: How to use it.
        dense: For ``encoders.dense_vectors`` to read documents by the network.
    """
    from safetensors.numpy import save

    directory.mkdir(parents=True, exist_ok=True)
    arrays = {
        "vectors": table.vectors,
        "document_weight": table.document_weight,
        "query_weight": table.query_weight,
        "bias": table.bias,
    }
    content = save(arrays)
    (directory / TABLE_NAME).write_bytes(content)
    record = StaticRecord(use=config, table=content_hash((), [content]))
    if dense is not None:
        axes = save({"axes": dense.axes, "probe": dense.probe})
        (directory / DENSE_NAME).write_bytes(axes)
        described = DenseRecord(name=dense.name, use=dense.use, axes=content_hash((), [axes]))
        record = record.model_copy(update={"dense": described})
    text = json.dumps(record.model_dump(exclude_none=True), indent=1)
    (directory / CONFIG_NAME).write_text(text + "\n")
