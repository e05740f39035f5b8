"""Settings of a build."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class BuildSettings(BaseModel):
    """How documents become passages and how much memory a build may take.

    Attributes:
        split: Whether long documents become passages.
        passage_tokens: Most tokens of a passage; by default what the encoders can read, or
            ``DEFAULT_PASSAGE_WORDS`` words where they read texts of any length.
        memory_bytes: Rows are written out as a segment when they exceed about this much memory.
        segment_rows: Most passages of a segment.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: bool = True
    passage_tokens: int | None = Field(default=None, ge=16)
    memory_bytes: int = Field(default=1 << 30, ge=1 << 20)
    segment_rows: int = Field(default=1 << 22, ge=1, le=1 << 26)


DEFAULT_PASSAGE_WORDS = 400
"""Words of a passage for encoders without a limit: about a page, and what 512 tokens hold."""

BYTES_PER_WEIGHT = 24
"""Memory that one weight takes from encoding to the finished postings."""

BATCH_DOCUMENTS = 1024
BATCH_CHARACTERS = 1 << 22
