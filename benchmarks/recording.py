"""An encoder that encodes every batch once and keeps its float rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encoders.base import Document, DocumentEncoder, EncoderSpec, QuerySide, SparseRows


class RecordingEncoder:
    """Passes calls on; a batch that comes again, for another space, gets the rows it had.

    For encoders of a fixed vocabulary.
    """

    def __init__(self, encoder: DocumentEncoder) -> None:
        self._encoder = encoder
        self._batches: dict[tuple[str, ...], SparseRows] = {}

    @property
    def spec(self) -> EncoderSpec:
        """That of the encoder."""
        return self._encoder.spec

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Token counts of the plain text."""
        return self._encoder.count_tokens(documents)

    def query_side(self) -> QuerySide:
        """That of the encoder."""
        return self._encoder.query_side()

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Rows of the batch."""
        key = tuple(document.doc_id for document in documents)
        if key not in self._batches:
            self._batches[key] = self._encoder.encode_documents(documents)
        return self._batches[key]

    def rows(self) -> SparseRows:
        """All rows so far, in order."""
        batches = list(self._batches.values())
        lengths = np.concatenate([np.diff(batch.indptr) for batch in batches])
        return SparseRows(
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([batch.dimensions for batch in batches]),
            np.concatenate([batch.weights for batch in batches]),
        )
