"""Why Lucene's BM25 figures differ from the formula's: rounded lengths, and ties by id.

Lucene keeps the length of a document in one byte: exact up to 40 tokens, beyond that rounded
down to four significant bits (``SmallFloat.intToByte4``), while the average length is exact. And
Anserini ranks equal scores by document id as text, where this engine ranks them by order of
arrival. Here BM25 is computed with numpy over the terms of the English analyzer, in four ways:
each of the two on and off. The last column has both, and 32-bit scores: it is what Lucene gives
(``python -m eval run --peer lucene``). No document is left out for having a query's id.

    python -m benchmarks.lucene_lengths --data ../shared/data
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from benchmarks.reporting import markdown_table, write_result
from encoders.query.analyzer import create_analyzer
from encoders.query.idf import idf
from eval.datasets.beir import Dataset, open_dataset
from eval.measures import evaluate, parse_measures
from eval.runs import ScoredDoc

COLLECTIONS = ("scifact", "cranfield", "cacm", "npl_vaswani", "nq_qed")
K1, B = 0.9, 0.4
EXACT_VALUES = 24
"""Values that ``intToByte4`` keeps as they are before it goes on with 4-bit floats."""
MEASURES = parse_measures(["nDCG@10"])
WAYS = {
    "exact lengths, ties by arrival": (False, False),
    "exact lengths, ties by id": (False, True),
    "Lucene's lengths, ties by arrival": (True, False),
    "Lucene's lengths, ties by id": (True, True),
}


def rounded(length: int) -> int:
    """A length as it comes back from Lucene's byte.

    >>> [rounded(length) for length in (40, 41, 100, 1000)]
    [40, 40, 96, 984]
    """
    rest = length - EXACT_VALUES
    if rest < 16:
        return length
    shift = rest.bit_length() - 4
    return EXACT_VALUES + (rest >> shift << shift)


class Bm25:
    """BM25 over a collection, with its own lengths or Lucene's."""

    def __init__(self, dataset: Dataset) -> None:
        documents = list(dataset.documents())
        self._analyzer = create_analyzer("english")
        counts = self._analyzer.count_batch([document.full_text() for document in documents])
        terms = counts.terms or ()
        self._numbers = {term: number for number, term in enumerate(terms)}
        frequencies = counts.weights.astype(np.float64)
        shape = (len(documents), len(terms))
        self._counts = csr_matrix((frequencies, counts.dimensions, counts.indptr), shape=shape)
        self._lengths = np.asarray(self._counts.sum(axis=1)).ravel()
        # Lucene's statistics count documents that have a term.
        self._document_count = int(np.count_nonzero(self._lengths))
        doc_freq = np.bincount(counts.dimensions, minlength=len(terms))
        self._idf = idf(self._document_count, doc_freq).astype(np.float64)
        self.doc_ids = np.array([document.doc_id for document in documents])

    def weights(self, *, lucene: bool) -> csc_matrix:
        """float64 matrix, documents by terms, without the idf."""
        lengths = self._lengths
        if lucene:
            lengths = np.array([rounded(int(length)) for length in lengths], dtype=np.float64)
        average = self._lengths.sum() / self._document_count
        norms = K1 * (1 - B + B * lengths / average)
        matrix = self._counts.copy()
        matrix.data /= matrix.data + np.repeat(norms, np.diff(matrix.indptr))
        return matrix.tocsc()

    def scores(self, query: str, weights: csc_matrix) -> NDArray[np.float64]:
        """float64[documents]."""
        counts = Counter(t for t in self._analyzer.tokens(query) if t in self._numbers)
        numbers = [self._numbers[term] for term in counts]
        return np.asarray(weights[:, numbers] @ (self._idf[numbers] * list(counts.values())))


def measure(dataset: Dataset) -> dict[str, float]:
    """NDCG@10 by way of computing."""
    bm25 = Bm25(dataset)
    by_id = np.argsort(np.argsort(bm25.doc_ids))
    by_arrival = np.arange(len(by_id))
    figures = {}
    for name, (lucene, ties_by_id) in WAYS.items():
        weights = bm25.weights(lucene=lucene)
        run: dict[str, list[ScoredDoc]] = {}
        for query_id, text in dataset.queries.items():
            scores = bm25.scores(text, weights)
            if lucene:
                scores = scores.astype(np.float32)
            order = np.lexsort((by_id if ties_by_id else by_arrival, -scores))[:10]
            run[query_id] = [
                (str(bm25.doc_ids[i]), float(scores[i])) for i in order if scores[i] > 0
            ]
        figures[name] = round(evaluate(dataset.qrels, run, MEASURES).means["nDCG@10"], 5)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    results = {name: measure(open_dataset(arguments.data / name)) for name in arguments.collections}
    print(
        markdown_table(
            ["NDCG@10", *WAYS],
            ([name, *(f"{v:.5f}" for v in figures.values())] for name, figures in results.items()),
        )
    )
    write_result(arguments.output, {"k1": K1, "b": B, "collections": results})


if __name__ == "__main__":
    main()
