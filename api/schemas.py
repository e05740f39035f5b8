"""What a search request may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from api.settings import MAX_POSTING_BUDGET, ServeSettings
from api.vectors import MAX_WEIGHT, VECTOR_SCHEMA, parse_vector
from encoders.static_config import MAX_RERANK_WEIGHT
from kernels.cpu.search import Approximation
from retriever.query import SparseVector


def _parse_vector(value: object, info: ValidationInfo) -> SparseVector:
    return parse_vector(value, _settings(info).max_vector_terms)


def _parse_batch_query(value: object, info: ValidationInfo) -> str | SparseVector:
    if isinstance(value, str):
        return _check_query(value, info)
    if isinstance(value, Mapping):
        return _parse_vector(value, info)
    raise PydanticCustomError("batch_query", "must be a text or a sparse vector")


Vector = Annotated[
    InstanceOf[SparseVector], BeforeValidator(_parse_vector), WithJsonSchema(VECTOR_SCHEMA)
]
BatchQuery = Annotated[
    str | InstanceOf[SparseVector],
    BeforeValidator(_parse_batch_query),
    WithJsonSchema({"anyOf": [{"type": "string"}, VECTOR_SCHEMA]}),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
RerankWeight = Annotated[float, Field(ge=0, le=MAX_RERANK_WEIGHT)]
PartWeight = Annotated[float, Field(ge=0, le=MAX_WEIGHT)]


class SearchOptions(BaseModel):
    """Options that a search and a batch share."""

    model_config = ConfigDict(extra="forbid")

    top_k: int = Field(default=10, ge=0, description="Number of hits to return; 0 returns none.")
    offset: int = Field(
        default=0, ge=0, description="Number of best hits to leave out, for paging."
    )
    space: str | None = Field(
        None, max_length=200, description="Space to search; default: the first of the index."
    )
    part_weights: dict[str, PartWeight] | None = Field(
        None, max_length=100, description="Weight of each part of the space, by its name."
    )
    filter: dict[str, Any] | None = Field(
        None,
        description='{"all": [...]}, {"any": [...]}, {"not": ...} or {"field": name, '
        '"eq" | "in" | "gte" | "gt" | "lte" | "lt" | "exists": value}. '
        "Documents that do not pass are excluded before the best are chosen.",
        examples=[{"all": [{"field": "year", "gte": 2020}, {"field": "lang", "in": ["en"]}]}],
    )
    min_score: Finite | None = Field(default=None, description="Leave out hits below this score.")
    explain: bool = Field(default=False, description="Give each hit's score term by term.")
    highlight: bool = Field(default=False, description="Give each hit's text around matched terms.")
    fields: list[str] | None = Field(
        None,
        max_length=100,
        description="Document fields to return: title, text, passage (text of the best "
        'passage), names of metadata fields, or "*" for all. Default: title and passage. '
        "An empty list returns ids and scores only, which is fastest.",
        examples=[["title", "year"]],
    )
    count_total: bool = Field(
        False, description="Count all matching documents exactly, which may take longer."
    )

    rerank: RerankWeight | None = Field(
        None,
        description="Weight of static vectors, by which the first documents are ranked again; "
        "0: not. Default: that of the index.",
    )
    posting_budget: int = Field(
        0,
        ge=0,
        le=MAX_POSTING_BUDGET,
        validate_default=True,
        description="Stop scoring after about this many postings, most promising passages first: "
        "a bound on the time of a query; an answer that meets it is not exact. 0: no bound.",
    )

    @field_validator("top_k")
    @classmethod
    def _top_k_within_limit(cls, top_k: int, info: ValidationInfo) -> int:
        _at_most(top_k, _settings(info).max_top_k, "must be at most {limit}")
        return top_k

    @field_validator("offset")
    @classmethod
    def _window_within_limit(cls, offset: int, info: ValidationInfo) -> int:
        end = offset + info.data.get("top_k", 0)
        _at_most(end, _settings(info).max_window, "offset + top_k must be at most {limit}")
        return offset

    @field_validator("posting_budget")
    @classmethod
    def _budget_within_limit(cls, budget: int, info: ValidationInfo) -> int:
        # Not refused: a client that asks for an exact search is told that it did not get one.
        limit = _settings(info).max_postings
        return budget if limit is None else min(budget or limit, limit)

    def search_arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``Searcher.search`` and ``search_batch``."""
        return {
            "k": self.top_k,
            "space": self.space,
            "part_weights": self.part_weights,
            "filter": self.filter,
            "offset": self.offset,
            "min_score": self.min_score,
            "explain": self.explain,
            "highlight": self.highlight,
            "count_total": self.count_total,
            "rerank": self.rerank,
            "approximation": Approximation(posting_budget=self.posting_budget),
        }


class SearchRequest(SearchOptions):
    """One search: a query text or a sparse query vector, and options."""

    query: str | None = Field(default=None, description="Query text; an empty one has no hits.")
    vector: Vector | None = Field(default=None, description="Query vector, instead of a text.")

    @field_validator("query")
    @classmethod
    def _query_within_limit(cls, query: str | None, info: ValidationInfo) -> str | None:
        return None if query is None else _check_query(query, info)

    @model_validator(mode="after")
    def _one_of_query_and_vector(self) -> SearchRequest:
        if (self.query is None) == (self.vector is None):
            raise PydanticCustomError("one_of", "give either query or vector")
        return self

    def search_query(self) -> str | SparseVector:
        """The query as ``Searcher.search`` takes it."""
        return self.vector if self.vector is not None else self.query or ""


class BatchRequest(SearchOptions):
    """Many queries that share their options, answered in their order."""

    queries: list[BatchQuery] = Field(description="Query texts or vectors.")

    @field_validator("queries", mode="before")
    @classmethod
    def _batch_within_limit(cls, queries: object, info: ValidationInfo) -> object:
        if isinstance(queries, list):
            limit = _settings(info).max_batch_queries
            _at_most(len(queries), limit, "must hold at most {limit} queries")
        return queries

    @model_validator(mode="after")
    def _hits_within_limit(self, info: ValidationInfo) -> BatchRequest:
        limit = _settings(info).max_batch_hits
        hits = len(self.queries) * (self.offset + self.top_k)
        _at_most(hits, limit, "number of queries times (offset + top_k) must be at most {limit}")
        return self


def _settings(info: ValidationInfo) -> ServeSettings:
    return info.context or ServeSettings()


def _at_most(value: int, limit: int, message: str) -> None:
    if value > limit:
        raise PydanticCustomError("limit", message + ", got {got}", {"limit": limit, "got": value})


def _check_query(query: str, info: ValidationInfo) -> str:
    _at_most(len(query), _settings(info).max_query_chars, "must have at most {limit} characters")
    return query
