"""What gives documents and queries the vectors by which a search is ranked again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.base import Document
from encoders.static_config import StaticConfig
from kernels.cpu.vectors import VECTOR_STEP


class DocumentVectors(Protocol):
    """Vectors of documents, and of the tokens whose sum is a query's vector.

    ``encoders.static_vectors`` makes both of tokens; ``encoders.dense_vectors`` lets a network read
    the documents. Queries never need one.
    """

    @property
    def argument(self) -> str | None:
        """What an index records of where they are; ``None`` for what comes with Winnow."""

    @property
    def config(self) -> StaticConfig:
        """How an index uses them."""

    @property
    def label(self) -> str:
        """What they are, for a person."""

    @property
    def tokenizer_json(self) -> bytes:
        """Tokens of queries."""

    @property
    def query_table(self) -> NDArray[np.int8]:
        """int8[V, d], a vector per token."""

    @property
    def query_weight(self) -> NDArray[np.float32]:
        """float32[V], worth of a step of a token's vector in a query."""

    @property
    def dimensions(self) -> int:
        """Of a vector."""

    @property
    def content_hash(self) -> str:
        """Of all that decides the vectors of documents."""

    def document_vectors(self, documents: Sequence[Document]) -> NDArray[np.int8]:
        """int8[n, d] in steps of ``VECTOR_STEP``; zeros for a document without tokens."""


def quantise_vectors(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors of norm 1 in steps of ``VECTOR_STEP``.

    >>> quantise_vectors(np.array([[0.0, 0.1, 0.9]], dtype=np.float32)).tolist()
    [[0, 25, 127]]
    """
    steps = np.rint(vectors / VECTOR_STEP)
    rounded: NDArray[np.int8] = np.clip(steps, -127, 127).astype(np.int8)
    return rounded
