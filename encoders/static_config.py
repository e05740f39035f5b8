"""What ``vectors.json`` says of static vectors: light, for the index format to know it, too."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

CONFIG_NAME = "vectors.json"

MAX_RERANK_WEIGHT = 1e9
"""Scores beside which a cosine needs more are not those of any encoder."""


class StaticConfig(BaseModel):
    """How an index uses static vectors.

    Attributes:
        weight: Of the cosine beside scores, unless an index says otherwise.
        depth: How many documents of a search are ranked again.
        max_length: Tokens of a document that are read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(gt=0, le=MAX_RERANK_WEIGHT)
    depth: int = Field(ge=1)
    max_length: int = Field(ge=1)


class StaticRecord(BaseModel):
    """``vectors.json``.

    Attributes:
        use: How an index uses the vectors.
        table: ``content_hash`` of the table's file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["winnow-static-vectors"] = "winnow-static-vectors"
    version: Literal["1"] = "1"
    use: StaticConfig
    table: str
