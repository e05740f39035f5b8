"""Settings of a build."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from indexer.errors import IndexCorruptError
from indexer.format.manifest import MANIFEST_NAME, Manifest

Order = Literal["arrival", "bisected"]

MOST_ROWS = 1 << 26
"""Most passages of a segment."""


class BuildSettings(BaseModel):
    """How documents become passages and how much memory a build may take.

    Attributes:
        split: Whether long documents become passages.
        passage_tokens: Most tokens of a passage; by default what the encoders can read, or
            ``DEFAULT_PASSAGE_WORDS`` words where they read texts of any length. Whether a
            document that is somewhat longer stays whole is up to ``indexer.passaging``.
        memory_bytes: Rows are written out as a segment when they exceed about this much memory.
        segment_rows: Most passages of a segment.
        order: How a segment's passages are ordered: as they arrive, or ``bisected``, similar ones
            next to each other, which takes longer to build and makes searching somewhat faster
            where documents arrive in no order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: bool = True
    passage_tokens: int | None = Field(default=None, ge=16)
    memory_bytes: int = Field(default=1 << 30, ge=1 << 20)
    segment_rows: int = Field(default=1 << 22, ge=1, le=MOST_ROWS)
    order: Order = "arrival"


def recorded_settings(index: Path, manifest: Manifest) -> BuildSettings:
    """The settings that an index was built with, which additions and merges follow.

    Raises:
        IndexCorruptError: They are none that this version knows.
    """
    try:
        return BuildSettings.model_validate(manifest.settings)
    except ValidationError as error:
        reason = f"settings that this version does not know ({error.errors()[0]['msg']})"
        raise IndexCorruptError(index / MANIFEST_NAME, reason) from None


DEFAULT_PASSAGE_WORDS = 400
"""Words of a passage for encoders without a limit: about a page, and what 512 tokens hold."""

BYTES_PER_WEIGHT = 24
"""Memory that one weight takes from encoding to the finished postings."""

BATCH_DOCUMENTS = 1024
BATCH_CHARACTERS = 1 << 22
