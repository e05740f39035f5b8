"""What ``vectors.json`` says of vectors: light, for the index format to know it, too."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

CONFIG_NAME = "vectors.json"
DENSE_NAME = "dense.safetensors"

MINILM = "minilm"
"""Before the colon of what an index records of vectors: all-MiniLM-L6-v2 reads the documents."""

MINILM_NAME = "all-MiniLM-L6-v2"

MAX_RERANK_WEIGHT = 1e9
"""Scores beside which a cosine needs more are not those of any encoder."""


class StaticConfig(BaseModel):
    """How an index uses vectors.

    Attributes:
        weight: Of the cosine beside scores, unless an index says otherwise.
        depth: How many documents of a search are ranked again.
        max_length: Tokens of a document that are read; by a network, special ones included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(gt=0, le=MAX_RERANK_WEIGHT)
    depth: int = Field(ge=1)
    max_length: int = Field(ge=1)


class DenseRecord(BaseModel):
    """The network that a table was fitted to, whose vectors documents can have in place of sums.

    Attributes:
        name: Of the network.
        use: How an index uses such vectors.
        axes: ``content_hash`` of the file with the axes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    use: StaticConfig
    axes: str


class StaticRecord(BaseModel):
    """``vectors.json``.

    Attributes:
        use: How an index uses the vectors.
        table: ``content_hash`` of the table's file.
        dense: The network, if the axes of its vectors are there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["winnow-static-vectors"] = "winnow-static-vectors"
    version: Literal["1"] = "1"
    use: StaticConfig
    table: str
    dense: DenseRecord | None = None


def has_dense_documents(argument: str | None) -> bool:
    """Whether a network reads documents, by what an index records of its vectors.

    >>> has_dense_documents("minilm:models/all-minilm-l6-v2"), has_dense_documents(None)
    (True, False)
    """
    return argument is not None and argument.partition(":")[0] == MINILM
