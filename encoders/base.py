"""What every encoder agrees on: documents in, sparse rows out.

The types here are plain numpy and dataclasses, so that any package may import them.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

MetadataValue = str | int | float | bool | datetime.datetime | tuple[str, ...]

Aggregation = Literal["binary", "sum"]
"""How a repeated query token counts: once (``binary``) or as often as it occurs (``sum``)."""


@dataclass(frozen=True, slots=True)
class Document:
    """One record of a corpus, or one passage of it on its way to an encoder.

    Attributes:
        doc_id: The user's identifier, unique in an index, never empty.
        text: Body text; may be empty.
        title: Title; may be empty.
        metadata: Typed fields: keyword, integer, float, boolean, date (timezone-aware UTC
            ``datetime``) or keyword list (tuple of str).
    """

    doc_id: str
    text: str = ""
    title: str = ""
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)

    def full_text(self) -> str:
        """Title and text as encoders see them, joined by one space.

        >>> Document("d1", "gates are logic", title="AND").full_text()
        'AND gates are logic'
        """
        if self.title and self.text:
            return f"{self.title} {self.text}"
        return self.title or self.text


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A batch of sparse vectors in CSR form.

    Attributes:
        indptr: int64[n + 1], row ``i`` is the slice ``indptr[i]:indptr[i + 1]``.
        dimensions: uint32[nnz], strictly ascending within a row.
        weights: float32[nnz], finite and > 0.
        terms: For an open vocabulary, the term of each dimension (``dimensions`` index this
            sequence, which is local to the batch); ``None`` for a fixed vocabulary.
    """

    indptr: NDArray[np.int64]
    dimensions: NDArray[np.uint32]
    weights: NDArray[np.float32]
    terms: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def nnz(self) -> int:
        """Number of stored weights."""
        return len(self.dimensions)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[int, float]], terms: Sequence[str] | None = None
    ) -> SparseRows:
        """Builds rows from ``{dimension: weight}`` mappings, dropping weights <= 0.

        >>> SparseRows.from_rows([{3: 1.0, 1: 0.5}, {}]).dimensions.tolist()
        [1, 3]
        """
        kept = [sorted((d, w) for d, w in row.items() if w > 0) for row in rows]
        indptr = np.cumsum([0, *map(len, kept)], dtype=np.int64)
        return cls(
            indptr,
            np.array([d for row in kept for d, _ in row], dtype=np.uint32),
            np.array([w for row in kept for _, w in row], dtype=np.float32),
            terms,
        )


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Everything that decides an encoder's output, recorded in the index.

    Two encoders with equal specs give equal rows for equal text.

    Attributes:
        kind: Family: ``"bm25"``, ``"splade"``, or a plug-in's own word.
        name: Name under which the registry creates it, e.g. ``"english-bm25"``.
        vocabulary: ``"open"`` (terms are strings) or the size of a fixed vocabulary.
        aggregation: How query tokens add up.
        max_length: Most tokens of a text that the encoder reads, ``None`` for no limit.
        max_weight: Upper bound of a document weight where one is known, for quantisation.
        parameters: JSON-able settings: k1, b, average length, analyzer, activation, pruning,
            hash of the weights.
    """

    kind: str
    name: str
    vocabulary: Literal["open"] | int
    aggregation: Aggregation
    max_length: int | None = None
    max_weight: float | None = None
    parameters: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """Sums over the text of a collection, in one part's tokens (not its expansions)."""

    row_count: int
    token_count: int

    @property
    def average_length(self) -> float:
        """Mean number of tokens of a row; 1 for an empty collection."""
        return self.token_count / self.row_count if self.token_count else 1.0


@dataclass(frozen=True, slots=True)
class QuerySide:
    """What an index must store so that queries of a part need no encoder.

    Attributes:
        analyzer: Name of the analyzer that turns query text into tokens: ``"english"``,
            ``"plain"``, ..., or ``"wordpiece"`` (reads ``tokenizer_json``).
        tokenizer_json: Content of a Hugging Face ``tokenizer.json``, for ``"wordpiece"``.
        table: float32[V] published query weights, or ``None`` when the weights are the idf of
            the indexed corpus.
        content_only: Whether, in a fixed vocabulary without a table, English stop words and
            punctuation weigh 0.
    """

    analyzer: str
    tokenizer_json: bytes | None = None
    table: NDArray[np.float32] | None = None
    content_only: bool = False


@runtime_checkable
class DocumentEncoder(Protocol):
    """Turns documents into sparse rows; deterministic for a fixed spec and device."""

    @property
    def spec(self) -> EncoderSpec:
        """What decides the output."""
        ...

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Token counts of the plain text (weights are counts), one row per document.

        These feed the collection's statistics: document frequencies and lengths.
        """
        ...

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Sparse rows, one per document, in order."""
        ...

    def query_side(self) -> QuerySide:
        """The query side that the index stores."""
        ...


@runtime_checkable
class StatisticalEncoder(DocumentEncoder, Protocol):
    """An encoder whose weights are a function of token counts and of corpus statistics."""

    def fit(self, statistics: CorpusStatistics) -> StatisticalEncoder:
        """A copy with the statistics pinned in its spec."""
        ...

    def weigh(self, counts: SparseRows) -> SparseRows:
        """Rows of weights from rows of ``count_tokens``."""
        ...
