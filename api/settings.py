"""What a server allows: sizes, concurrency, keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.auth import ApiKeys
from kernels.cpu.processors import usable_cpus

MAX_POSTING_BUDGET = 2**40
"""More than any search costs, and far from what a kernel's numbers hold."""


class ServeSettings(BaseModel):
    """Settings of one server.

    Attributes:
        api_keys: Keys that open ``/v1``; ``None`` leaves it open.
        max_body_bytes: Longest request body; a longer one is a 413.
        max_query_chars: Longest query text, in Unicode characters.
        max_vector_terms: Most entries of a query vector.
        max_top_k: Largest ``top_k``.
        max_window: Largest ``offset + top_k``.
        max_batch_queries: Most queries of a batch.
        max_batch_hits: Largest number of queries times ``offset + top_k`` of a batch.
        max_answer_bytes: Longest answer to a search or a batch; a longer one is a 422.
        max_postings: Posting budget of searches that give none, or a larger one; ``None`` for no
            such limit. Answers under a budget never say that they are exact.
        threads: Searches that run at the same time.
        queue: Requests that may wait for a thread; one more is a 429.
        queue_seconds: Longest wait for a thread; a longer one is a 429.
        batch_seconds: After so long a batch is given up, between two slices of its queries: a 422.
        refresh_seconds: Shortest time between two looks for a new generation of an index.
        access_log: Write one JSON line per request to the logger ``api.access``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    api_keys: ApiKeys | None = None
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    max_query_chars: int = Field(default=4096, ge=1)
    max_vector_terms: int = Field(default=10_000, ge=1)
    max_top_k: int = Field(default=1000, ge=10)
    max_window: int = Field(default=10_000, ge=10)
    max_batch_queries: int = Field(default=1000, ge=1)
    max_batch_hits: int = Field(default=100_000, ge=1)
    max_answer_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_postings: int | None = Field(default=None, ge=1, le=MAX_POSTING_BUDGET)
    threads: int = Field(default_factory=usable_cpus, ge=1, le=1024)
    queue: int = Field(default=64, ge=0, le=4096)
    queue_seconds: float = Field(default=10.0, ge=0)
    batch_seconds: float = Field(default=60.0, ge=0)
    refresh_seconds: float = Field(default=1.0, ge=0)
    access_log: bool = False

    @model_validator(mode="after")
    def _window_holds_top_k(self) -> ServeSettings:
        if self.max_window < self.max_top_k:
            raise ValueError(
                f"max_window must be at least max_top_k ({self.max_top_k}), got {self.max_window}"
            )
        return self
