"""Rows and query weights of plain idf-weighted parts, in the form that training adds scores in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from encoders.base import CorpusStatistics, SparseRows
from encoders.bm25 import create
from encoders.expression import PartExpression, parse_expression
from encoders.query.analyzer import Analyzer, create_analyzer
from encoders.query.idf import idf
from encoders.query.tokenizer import WordPieceTokenizer

_BATCH = 4096


class LexicalBase:
    """BM25 of one collection, as an index of it computes the score.

    Documents are rows of BM25 weights with the collection's average length, queries are counts
    times the collection's idf: ``queries(texts) @ documents.T`` are the scores. Several parts, such
    as words and pairs of words, stand side by side, their weights in the queries.

    Attributes:
        documents: float32 CSR, one row per document over the collection's terms.

    >>> base = LexicalBase(["sparse retrieval", "dense vectors", "sparse matrix"])
    >>> scores = base.queries(["sparse matrix"]) @ base.documents.T
    >>> [round(float(score), 2) for score in scores.toarray()[0]]
    [0.47, 0.0, 1.45]
    """

    def __init__(self, documents: Sequence[str], encoder: str = "english-bm25") -> None:
        """Counts, weighs and keeps the documents.

        Args:
            documents: Texts.
            encoder: Expression of BM25 encoders: ``english-bm25 + 0.3*english-bigrams-bm25``.

        Raises:
            EncoderError: There is no such encoder.
        """
        self._parts = [_LexicalPart(documents, part) for part in parse_expression(encoder)]
        self.documents = _side_by_side([part.documents for part in self._parts])

    def queries(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """float32 CSR of counts times idf; terms that no document has are left out."""
        return _side_by_side([part.queries(texts) for part in self._parts])


def _side_by_side(matrices: Sequence[sparse.csr_matrix]) -> sparse.csr_matrix:
    return matrices[0] if len(matrices) == 1 else sparse.hstack(matrices, format="csr")


class _LexicalPart:
    """One BM25 encoder of a base."""

    def __init__(self, documents: Sequence[str], part: PartExpression) -> None:
        bm25 = create(part.name, part.argument)
        side = bm25.query_side()
        self._analyzer: Analyzer = create_analyzer(side.analyzer, side.tokenizer_json)
        self._numbers: dict[str, int] = {}
        counts = self._count(documents, grow=True)
        statistics = CorpusStatistics(len(documents), int(counts.sum()))
        rows = SparseRows(
            counts.indptr.astype(np.int64), counts.indices.astype(np.uint32), counts.data
        )
        weights = bm25.fit(statistics).weigh(rows).weights
        self.documents = sparse.csr_matrix((weights, counts.indices, counts.indptr), counts.shape)
        doc_freq = np.bincount(counts.indices, minlength=counts.shape[1])
        self._weights = (part.weight * idf(len(documents), doc_freq)).astype(np.float32)

    def queries(self, texts: Sequence[str]) -> sparse.csr_matrix:
        return (self._count(texts, grow=False) @ sparse.diags(self._weights)).tocsr()

    def _count(self, texts: Sequence[str], *, grow: bool) -> sparse.csr_matrix:
        pieces = []
        for start in range(0, len(texts), _BATCH):
            rows = self._analyzer.count_batch(texts[start : start + _BATCH])
            terms = rows.terms or ()
            if grow:
                numbers = [self._numbers.setdefault(term, len(self._numbers)) for term in terms]
            else:
                numbers = [self._numbers.get(term, -1) for term in terms]
            columns = np.array(numbers, np.int64)[rows.dimensions.astype(np.int64)]
            lines = np.repeat(np.arange(len(rows)), np.diff(rows.indptr))
            known = columns >= 0
            pieces.append((lines[known] + start, columns[known], rows.weights[known]))
        lines, columns, values = (np.concatenate(part) for part in zip(*pieces, strict=True))
        shape = (len(texts), len(self._numbers))
        return sparse.csr_matrix((values, (lines, columns)), shape=shape, dtype=np.float32)


class QueryWeights:
    """Queries of the learned part: the set of their tokens, weighted by the collection's idf."""

    def __init__(self, tokenizer: WordPieceTokenizer, documents: Sequence[str]) -> None:
        """Counts in how many documents each token stands."""
        self._tokenizer = tokenizer
        doc_freq = np.zeros(tokenizer.vocab_size, np.int64)
        for ids in tokenizer.ids_batch(documents):
            doc_freq[np.unique(np.asarray(ids, np.int64))] += 1
        weights = idf(len(documents), doc_freq)
        weights[sorted(tokenizer.special_ids)] = 0
        self.idf: NDArray[np.float32] = weights
        """float32[V], 0 for special tokens."""

    def queries(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """float32 CSR over the vocabulary, one row per query."""
        rows = [np.unique(np.asarray(ids, np.int64)) for ids in self._tokenizer.ids_batch(texts)]
        rows = [ids[self.idf[ids] > 0] if len(ids) else ids for ids in rows]
        indptr = np.cumsum([0, *map(len, rows)])
        columns = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64)
        shape = (len(texts), len(self.idf))
        return sparse.csr_matrix((self.idf[columns], columns, indptr), shape=shape)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores as a product: sparse or dense rows of queries and of documents.

    Attributes:
        queries: [Q, K].
        documents: [D, K].
    """

    queries: sparse.csr_matrix | NDArray[np.float16]
    documents: sparse.csr_matrix | NDArray[np.float16]

    def of(self, queries: NDArray[np.int64], documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[len(queries), len(documents)]."""
        left, right = self.queries[queries], self.documents[documents]
        if isinstance(left, np.ndarray):
            return left.astype(np.float32) @ right.astype(np.float32).T
        return np.asarray((left @ right.T).todense(), dtype=np.float32)
