"""What the server answers."""

from __future__ import annotations

import datetime
from typing import Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

FieldValue = str | int | float | bool | datetime.datetime | list[str]


class Answer(BaseModel):
    """Base of all answers; members that were not asked for are left out."""

    model_config = ConfigDict(frozen=True)

    def to_json(self) -> bytes:
        """JSON; numbers that it cannot hold become null."""
        return self.model_dump_json(exclude_unset=True).encode()

    def to_response(self) -> Response:
        """The HTTP response."""
        return Response(self.to_json(), content_type="application/json")


class IndexReference(Answer):
    """The index, and the generation of it, that an answer comes from."""

    name: str
    generation: int


class TotalCount(Answer):
    """How many documents match: exactly (``eq``) or at least (``gte``) ``value``."""

    value: int
    relation: Literal["eq", "gte"]


class Passage(Answer):
    """The best passage of a document: character offsets in its text, and its shortened text."""

    start: int
    end: int
    text: str = Field(default="", description="The passage, shortened to about 300 characters.")


class SnippetText(Answer):
    """Text around matches, which are [start, end] offsets within this text."""

    field: Literal["title", "text"]
    text: str
    matches: list[tuple[int, int]]


class TermWeight(Answer):
    """A term's exact share of the score: query weight times document weight."""

    term: str
    part: str = Field(
        description="Part of the space; 'rerank' for what a token adds to the cosine of static "
        "vectors, or, below 0, takes from it."
    )
    query_weight: float
    document_weight: float
    contribution: float
    in_text: bool
    word: str | None


class RankedDocument(Answer):
    """One hit; rank 1 is the best."""

    rank: int
    doc_id: str
    score: float
    fields: dict[str, FieldValue | None]
    passage: Passage | None = None
    snippets: list[SnippetText] = Field(default_factory=list)
    explanation: list[TermWeight] = Field(default_factory=list)


class QueryAnswer(Answer):
    """Hits of one query of a batch."""

    took_ms: float
    exact: bool
    total: TotalCount
    hits: list[RankedDocument]


class SearchAnswer(QueryAnswer):
    """Hits of a search."""

    index: IndexReference


class BatchAnswer(Answer):
    """Hits of a batch, in the order of its queries."""

    took_ms: float
    results: list[QueryAnswer]
    index: IndexReference


class DocumentAnswer(Answer):
    """A stored document."""

    doc_id: str
    title: str
    text: str
    metadata: dict[str, FieldValue | None]
    index: IndexReference


class PartInformation(Answer):
    """One part of a space: an encoder, and the weight of its scores in the sum."""

    name: str
    weight: float
    encoder: str
    vocabulary: str
    query_table: str


class SpaceInformation(Answer):
    """A space: parts whose scores add up."""

    parts: list[PartInformation]


class RerankInformation(Answer):
    """Static vectors that rank the first documents of a search again."""

    weight: float = Field(description="Of the cosine beside scores.")
    depth: int = Field(description="How many documents are ranked again.")
    dimensions: int = Field(description="Numbers of a vector.")
    vectors: str = Field(
        description="'static' for those that come with Winnow, 'minilm' where all-MiniLM-L6-v2 "
        "read the documents, or a name."
    )


class IndexInformation(Answer):
    """What an index holds."""

    name: str
    generation: int
    format_version: str
    document_count: int
    passage_count: int
    segment_count: int
    size_bytes: int
    created_at: str
    default_space: str
    spaces: dict[str, SpaceInformation]
    rerank: RerankInformation | None = None
    fields: dict[str, str] = Field(description="Type of each metadata field.")


class IndexList(Answer):
    """All indexes of the server."""

    indexes: list[IndexInformation]


class Health(Answer):
    """State of the server."""

    status: Literal["ok", "ready", "starting", "failed"]


class FieldProblem(Answer):
    """What is wrong with one field of a request."""

    field: str
    detail: str


class ProblemDocument(Answer):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str = ""
    errors: list[FieldProblem] = Field(default_factory=list)
    request_id: str = ""
