"""Spaces as a user asks for them: named encoder expressions, and the encoders these make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from encoders.base import DocumentEncoder, EncoderSpec
from encoders.document_vectors import DocumentVectors
from encoders.errors import CheckpointError
from encoders.expression import PartExpression, parse_expression
from encoders.registry import create_encoder
from encoders.shipped import minilm_vectors, static_vectors
from encoders.static_config import has_dense_documents
from indexer.errors import IndexerError
from indexer.format.manifest import PartEntry, RerankEntry, SpaceEntry

DEFAULT_SPACE = "default"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class SpacePart:
    """A part and the encoder that fills it."""

    expression: PartExpression
    encoder: DocumentEncoder

    @property
    def name(self) -> str:
        """Name of the part, unique in its space."""
        return self.expression.part_name


def create_spaces(expressions: Mapping[str, str]) -> dict[str, tuple[SpacePart, ...]]:
    """Makes the encoders of each space.

    Args:
        expressions: Encoder expressions by the space's name.

    Raises:
        IndexerError: A space's name is not made of letters, digits, ``-`` and ``_``.
        encoders.errors.EncoderError: An expression or an encoder is not valid.
    """
    spaces = {}
    for name, text in expressions.items():
        if not _NAME.fullmatch(name):
            raise IndexerError(
                f"a space's name consists of letters, digits, '-' and '_', got {name!r}."
            )
        spaces[name] = tuple(
            SpacePart(part, create_encoder(part.name, part.argument))
            for part in parse_expression(text)
        )
    return spaces


def create_vectors(vectors: str) -> DocumentVectors | None:
    """Vectors that re-rank, as a user asks for them.

    Args:
        vectors: ``static`` for those that come with Winnow, ``minilm`` or ``minilm:CHECKPOINT`` for
            documents that all-MiniLM-L6-v2 reads, ``none``, or a directory of static vectors.

    Raises:
        encoders.errors.CheckpointError: The directory holds none.
        encoders.errors.EncoderError: The network needs what is not installed.
    """
    if vectors == "none":
        return None
    try:
        return _vectors(None if vectors == "static" else vectors)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} Vectors are 'static' (those that come with Winnow), 'minilm' (documents are "
            "read by all-MiniLM-L6-v2), 'none', or a directory of static vectors."
        ) from None


def vectors_argument(entry: RerankEntry | None) -> str:
    """What :func:`create_vectors` takes for the vectors of an existing index."""
    return "none" if entry is None else entry.argument or "static"


def weight_to_configure(entry: RerankEntry | None, weight: float) -> float | None:
    """A weight of vectors, unless it is what a build with them gives anyway."""
    if entry is None:
        return None
    dense = has_dense_documents(entry.argument)
    try:
        vectors = static_vectors(None if dense else entry.argument)
    except CheckpointError:  # They are not there any more; whoever builds will be told so.
        return weight
    use = vectors.dense.use if dense and vectors.dense is not None else vectors.config
    return None if weight == use.weight else weight


def reopen_vectors(entry: RerankEntry | None) -> DocumentVectors | None:
    """The vectors of an existing index again.

    Raises:
        IndexerError: Their files have changed since, so that new vectors would not fit.
        encoders.errors.CheckpointError: They are not there any more.
        encoders.errors.EncoderError: The network needs what is not installed.
    """
    if entry is None:
        return None
    vectors = _vectors(entry.argument)
    if vectors.content_hash != entry.content_hash:
        raise IndexerError(
            f"the {vectors.label} ({entry.argument or 'those that come with Winnow'}) differ from "
            "those that built this index. Restore their files, or build the index again."
        )
    return vectors


def _vectors(argument: str | None) -> DocumentVectors:
    """Vectors by what an index records of them."""
    if argument is not None and has_dense_documents(argument):
        return minilm_vectors(argument)
    return static_vectors(argument)


def reopen_spaces(entries: Mapping[str, SpaceEntry]) -> dict[str, tuple[SpacePart, ...]]:
    """Makes the encoders of an existing index again, under the specs that it records.

    Raises:
        IndexerError: An encoder's files have changed since, so that new rows would not fit.
    """
    spaces = {}
    for space, entry in entries.items():
        parts = []
        for part in entry.parts:
            recorded = part.encoder
            # The recorded parameters pin what was fitted, such as BM25's average length.
            encoder = create_encoder(recorded.name, recorded.argument, **recorded.parameters)
            _refuse_another_encoder(part, encoder.spec)
            expression = PartExpression(part.weight, recorded.name, recorded.argument, part.name)
            parts.append(SpacePart(expression, encoder))
        spaces[space] = tuple(parts)
    return spaces


def _refuse_another_encoder(part: PartEntry, spec: EncoderSpec) -> None:
    recorded, found = dict(part.encoder.parameters), dict(spec.parameters)
    if spec.max_length != part.encoder.max_length:
        raise IndexerError(
            f"the encoder of part {part.name!r} ({part.encoder.argument}) reads "
            f"{_tokens(spec.max_length)} of a text, and read {_tokens(part.encoder.max_length)} "
            "when it built this index. Restore its files, those of the tokenizer included, or "
            "build the index again."
        )
    # It has just been compared, and is not among the parameters that older versions recorded.
    recorded.pop("max_length", None)
    found.pop("max_length", None)
    if found != recorded:
        raise IndexerError(
            f"the encoder of part {part.name!r} ({part.encoder.argument}) differs from the "
            "one that built this index. Restore its files, or build the index again."
        )


def _tokens(limit: int | None) -> str:
    return "any number of tokens" if limit is None else f"{limit} tokens"
