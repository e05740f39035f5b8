"""Indexes of the benchmark's data sets, built by the indexer.

Vectors come in through a document encoder of the benchmark's own, as a plug-in would bring them:
it looks up the rows that were prepared. Queries need no encoder: the index stores the tokenizer
and takes idf from the token counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from encoders.base import Document, EncoderSpec, QuerySide, SparseRows
from encoders.expression import PartExpression
from encoders.query.analyzer import WordPieceAnalyzer
from encoders.query.tokenizer import WordPieceTokenizer
from indexer.builder import build_index
from indexer.corpus.records import CorpusRecord
from indexer.settings import BuildSettings
from indexer.spaces import DEFAULT_SPACE, SpacePart, create_spaces


class PreparedRows:
    """A document encoder that knows its answers: ids are record numbers."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        with np.load(folder / "rows.npz") as arrays:
            self._rows = (
                arrays["indptr"],
                arrays["dimensions"],
                arrays["impacts"].astype(np.float32),
            )
            self._counts = (arrays["count_indptr"], arrays["count_dimensions"], arrays["counts"])
        self._tokenizer_json = (folder / "tokenizer.json").read_bytes()
        # The bound makes the indexer's scale 1, so that it stores the impacts as they are.
        self.spec = EncoderSpec("benchmark", "prepared", dimensions, "binary", max_weight=255.0)

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Impacts as weights."""
        return _select(self._rows, documents)

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Counts of the text that the rows were made of."""
        return _select(self._counts, documents)

    def query_side(self) -> QuerySide:
        """WordPiece tokens; their weights are the idf of the indexed text."""
        return QuerySide("wordpiece", self._tokenizer_json)


def _select(rows: tuple[np.ndarray, ...], documents: Sequence[Document]) -> SparseRows:
    """Rows of successive record numbers."""
    indptr, dimensions, values = rows
    first, last = int(documents[0].doc_id), int(documents[-1].doc_id) + 1
    part = slice(indptr[first], indptr[last])
    return SparseRows(
        indptr[first : last + 1] - indptr[first], dimensions[part], values[part].astype(np.float32)
    )


def build_index_of(request: dict[str, Any], output: Path) -> None:
    """Builds the index of a request's data set, in one segment and without passages."""
    settings = BuildSettings(split=False, memory_bytes=1 << 40)
    if request["kind"] == "text":
        spaces = create_spaces({DEFAULT_SPACE: f"{request['analyzer']}-bm25"})
    else:
        folder = Path(request["rows"]).parent
        encoder = PreparedRows(folder, request["dimensions"])
        part = SpacePart(PartExpression(1.0, "prepared"), encoder)
        spaces = {DEFAULT_SPACE: (part,)}
    build_index(_records(request), output, spaces, settings=settings)


def _records(request: dict[str, Any]) -> Iterator[CorpusRecord]:
    if request["kind"] != "text":
        for number in range(request["documents"]):
            yield CorpusRecord(Document(str(number)), "", number)
        return
    with Path(request["texts"]).open() as file:
        for number, line in enumerate(file):
            yield CorpusRecord(Document(str(number), json.loads(line)), "", number)


class CountedRows(PreparedRows):
    """Prepared rows whose counts are those of the tokenizer, as an encoder's have to be.

    A deletion takes from the document frequencies what the tokenizer finds in the stored text.
    """

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        self._analyzer = WordPieceAnalyzer(
            WordPieceTokenizer((folder / "tokenizer.json").read_bytes())
        )

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Counts of the tokens that a query could have."""
        counts = self._analyzer.count_batch([document.full_text() for document in documents])
        ids = [self._analyzer.tokenizer.id(term) for term in counts.terms or ()]
        numbers = np.array(ids, dtype=np.uint32)  # ascending, as the analyzer's terms are
        return SparseRows(counts.indptr, numbers[counts.dimensions], counts.weights)
