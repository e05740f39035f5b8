"""An encoder that counts what it makes: active dimensions of documents, FLOPS of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from encoders.base import Document, DocumentEncoder, EncoderSpec, QuerySide, SparseRows
from encoders.query.tokenizer import WordPieceTokenizer
from indexer.passaging import LimitedEncoder


class SpladeEncoder(DocumentEncoder, LimitedEncoder, Protocol):
    """What is counted: an encoder that reads so many tokens of a text."""


class CountingEncoder:
    """Passes calls on and counts in how many documents each dimension is active."""

    def __init__(self, encoder: SpladeEncoder) -> None:
        self._encoder = encoder
        self.documents = 0
        self.doc_freq = np.zeros(int(encoder.spec.vocabulary), np.int64)

    @property
    def spec(self) -> EncoderSpec:
        """That of the encoder."""
        return self._encoder.spec

    @property
    def special_token_count(self) -> int:
        """That of the encoder."""
        return self._encoder.special_token_count

    def token_lengths(self, texts: Sequence[str]) -> Sequence[int]:
        """Those of the encoder, by which documents become passages."""
        return self._encoder.token_lengths(texts)

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Token counts of the plain text."""
        return self._encoder.count_tokens(documents)

    def query_side(self) -> QuerySide:
        """That of the encoder."""
        return self._encoder.query_side()

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Rows of the encoder."""
        rows = self._encoder.encode_documents(documents)
        self.documents += len(rows)
        self.doc_freq += np.bincount(rows.dimensions, minlength=len(self.doc_freq))
        return rows

    def sizes(self, queries: Sequence[str]) -> dict[str, float]:
        """Active dimensions of a document on the mean, and FLOPS: sum of P_query * P_document."""
        tokenizer = WordPieceTokenizer(self.query_side().tokenizer_json or b"")
        query_freq = np.zeros(len(self.doc_freq), np.int64)
        for ids in tokenizer.ids_batch(queries):
            query_freq[np.unique(np.asarray(ids, np.int64))] += 1
        flops = (query_freq / len(queries)) @ (self.doc_freq / self.documents)
        return {
            "active_dims": round(float(self.doc_freq.sum() / self.documents), 1),
            "flops": round(float(flops), 3),
        }
