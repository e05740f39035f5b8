"""An encoder plug-in: a word of a text has the weight 1, one of its title another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from encoders.base import Document, EncoderSpec, QuerySide, SparseRows
from encoders.errors import EncoderError
from encoders.query.analyzer import create_analyzer
from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json


class PresenceEncoder:
    """Rows over words, an open vocabulary: each batch names its own terms."""

    def __init__(self, title_weight: float) -> None:
        self._title_weight = title_weight
        self._analyzer = create_analyzer("plain")

    @property
    def spec(self) -> EncoderSpec:
        """The weight of titles decides the output."""
        return EncoderSpec(
            kind="presence",
            name="presence",
            vocabulary="open",
            aggregation="binary",
            max_weight=max(1.0, self._title_weight),
            parameters={"title_weight": self._title_weight},
        )

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """How often each word occurs: the index takes document frequencies from here."""
        return self._analyzer.count_batch([document.full_text() for document in documents])

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """A row per document, in order."""
        counts = self.count_tokens(documents)
        numbers = {term: number for number, term in enumerate(counts.terms or ())}
        rows: list[dict[int, float]] = []
        for document in documents:
            row = {numbers[word]: 1.0 for word in self._analyzer.tokens(document.full_text())}
            for word in self._analyzer.tokens(document.title):
                row[numbers[word]] = self._title_weight
            rows.append(row)
        return SparseRows.from_rows(rows, counts.terms)

    def query_side(self) -> QuerySide:
        """Queries are cut into words by the same analyzer, and weighted by the index's idf."""
        return QuerySide("plain")


class PiecesEncoder:
    """The same over the pieces of a WordPiece tokenizer, a fixed vocabulary."""

    def __init__(self, title_weight: float) -> None:
        self._title_weight = title_weight
        self._tokenizer = WordPieceTokenizer(default_tokenizer_json())

    @property
    def spec(self) -> EncoderSpec:
        """As above, with the size of the vocabulary."""
        return EncoderSpec(
            kind="presence",
            name="presence-pieces",
            vocabulary=self._tokenizer.vocab_size,
            aggregation="binary",
            parameters={"title_weight": self._title_weight},
        )

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """How often each piece occurs."""
        rows: list[dict[int, float]] = []
        for document in documents:
            row: dict[int, float] = {}
            for piece in self._pieces(document.full_text()):
                row[piece] = row.get(piece, 0.0) + 1.0
            rows.append(row)
        return SparseRows.from_rows(rows)

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """A row per document, in order."""
        return SparseRows.from_rows(
            {
                **dict.fromkeys(self._pieces(document.full_text()), 1.0),
                **dict.fromkeys(self._pieces(document.title), self._title_weight),
            }
            for document in documents
        )

    def query_side(self) -> QuerySide:
        """The tokenizer goes into the index; a table of weights may go with it."""
        table = np.ones(self._tokenizer.vocab_size, dtype=np.float32)
        table[sorted(self._tokenizer.special_ids)] = 0
        return QuerySide("wordpiece", default_tokenizer_json(), table)

    def _pieces(self, text: str) -> list[int]:
        return [i for i in self._tokenizer.ids(text) if i not in self._tokenizer.special_ids]


def create(
    name: str, argument: str | None = None, **options: Any
) -> PresenceEncoder | PiecesEncoder:
    """Makes either encoder; the argument is the weight of titles, as in ``presence:2.5``."""
    title_weight = options.pop("title_weight", argument or 2.0)
    if options:
        raise EncoderError(f"encoder {name!r} has no setting {next(iter(options))!r}.")
    try:
        weight = float(title_weight)
    except ValueError:
        weight = -1.0
    if not 0 < weight < float("inf"):
        raise EncoderError(
            f"encoder {name!r}: the weight of titles must be a number above 0, got "
            f"{title_weight!r}; write {name}:2.5."
        )
    return PresenceEncoder(weight) if name == "presence" else PiecesEncoder(weight)
