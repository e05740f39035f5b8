"""What a search returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from encoders.base import MetadataValue


@dataclass(frozen=True, slots=True)
class TermContribution:
    """One term's exact share of a score: ``query_weight * document_weight == contribution``.

    Attributes:
        term: The token as text.
        part: Name of the part of the space that the term belongs to; ``rerank`` for what a token
            adds to the cosine of static vectors, or takes from it.
        query_weight: Weight of the term in the query, the part's weight included.
        document_weight: Weight of the term in the document (impact times scale).
        contribution: Share of the score.
        word: The first word of the passage that the analyzer turns into the term; ``None`` if
            the encoder added the term.
    """

    term: str
    part: str
    query_weight: float
    document_weight: float
    contribution: float
    word: str | None

    @property
    def in_text(self) -> bool:
        """Whether the term stands in the passage, or else was added by the encoder."""
        return self.word is not None


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of text around matches; ``matches`` are (start, end) offsets within ``text``."""

    field: Literal["title", "text"]
    text: str
    matches: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked document.

    Attributes:
        doc_id: The user's identifier.
        score: Sum of query weight times document weight of its best passage, and what static
            vectors add to it.
        rank: 1 for the best document.
        passage: (start, end) character offsets of the best passage in the document's text;
            ``None`` where no document was split, and the passage is the document.
        explanation: Contributions, largest first; only with ``explain=True``.
        snippets: Matched text; only with ``highlight=True``.
    """

    doc_id: str
    score: float
    rank: int
    passage: tuple[int, int] | None = None
    explanation: tuple[TermContribution, ...] | None = None
    snippets: tuple[Snippet, ...] | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """How many documents match: exactly ``value`` (``eq``) or at least ``value`` (``gte``)."""

    value: int
    relation: Literal["eq", "gte"]


@dataclass(frozen=True, slots=True)
class Results:
    """Ranked hits of one query, best first.

    Attributes:
        hits: The hits. Their order is that of integer scores: a score shown may exceed the one
            before it by less than the rounding of the weights, about 1e-7 of it.
        total: How many documents match.
        took_ms: Milliseconds from query to hits.
        exact: Whether the search left nothing out: ``False`` where it met a budget of its
            ``Approximation``, and under clipped bounds.
    """

    hits: tuple[Hit, ...]
    total: Total
    took_ms: float
    exact: bool = True


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as the index holds it."""

    doc_id: str
    title: str
    text: str
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
