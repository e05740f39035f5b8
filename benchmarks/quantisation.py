"""What 8-bit impacts and integer query weights cost in relevance.

The truth is computed here with scipy from the encoder's float32 rows and float query weights,
scores as 64-bit floats; the engine answers from an index of the same rows. Equal scores are
ranked by order of arrival in both. Whole documents; no document is left out for having a query's
id (in the classic collections queries and documents are numbered apart). With ``--checkpoint``
a SPLADE-type checkpoint and its sum with BM25 are measured too.

    python -m benchmarks.quantisation --data ../shared/data --checkpoint splade-tiny
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from benchmarks.recording import RecordingEncoder
from benchmarks.reporting import markdown_table, write_result
from encoders.base import CorpusStatistics, Document, SparseRows
from encoders.bm25 import BM25Encoder, BM25Settings
from encoders.expression import PartExpression
from encoders.query.analyzer import create_analyzer
from encoders.query.idf import idf
from encoders.query.table import from_corpus
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.registry import create_encoder
from eval.datasets.beir import Dataset, open_dataset
from eval.measures import evaluate, parse_measures
from eval.runs import ScoredDoc
from indexer.builder import build_index
from indexer.corpus.records import CorpusRecord
from indexer.settings import BuildSettings
from indexer.spaces import SpacePart
from retriever.searcher import open_index

COLLECTIONS = ("scifact", "cranfield", "cacm", "npl_vaswani", "nq_qed")
WORDS, LEARNED = "english-bm25", "splade"
SYSTEMS = {
    "BM25": {WORDS: 1.0, LEARNED: 0.0},
    "SPLADE": {WORDS: 0.0, LEARNED: 1.0},
    "BM25 + 0.5 SPLADE": {WORDS: 1.0, LEARNED: 0.5},
}
BAR = 0.001
MEASURES = parse_measures(["nDCG@10"])


class FloatWords:
    """BM25 in floats: rows from the encoder, query weights from the idf of their terms."""

    def __init__(self, encoder: BM25Encoder, documents: Sequence[Document]) -> None:
        counts = encoder.count_tokens(documents)
        statistics = CorpusStatistics(len(documents), int(counts.weights.sum(dtype=np.float64)))
        rows = encoder.fit(statistics).weigh(counts)
        terms = rows.terms or ()
        self._columns = matrix(rows, len(terms)).tocsc()
        self._numbers = {term: number for number, term in enumerate(terms)}
        self._idf = idf(len(documents), np.bincount(rows.dimensions, minlength=len(terms)))
        self._analyzer = create_analyzer(encoder.settings.analyzer)

    def scores(self, query: str) -> NDArray[np.float64]:
        """float64[documents]."""
        counts = Counter(t for t in self._analyzer.tokens(query) if t in self._numbers)
        numbers = [self._numbers[term] for term in counts]
        weights = self._idf[numbers].astype(np.float64) * list(counts.values())
        return np.asarray(self._columns[:, numbers] @ weights)


class FloatLearned:
    """A checkpoint in floats: rows as they were indexed, query weights from the corpus's idf."""

    def __init__(self, encoder: RecordingEncoder, documents: Sequence[Document]) -> None:
        side = encoder.query_side()
        size = int(encoder.spec.vocabulary)
        self._columns = matrix(encoder.rows(), size).tocsc()
        self._tokenizer = WordPieceTokenizer(side.tokenizer_json or b"")
        table = side.table
        if table is None:
            counts = encoder.count_tokens(documents)
            doc_freq = np.bincount(counts.dimensions, minlength=size)
            special = self._tokenizer.special_ids
            table = from_corpus(len(documents), doc_freq, special_ids=special)
        self._table = table.astype(np.float64)

    def scores(self, query: str) -> NDArray[np.float64]:
        """float64[documents]."""
        numbers = list(dict.fromkeys(self._tokenizer.ids(query)))
        return np.asarray(self._columns[:, numbers] @ self._table[numbers])


def matrix(rows: SparseRows, size: int) -> csr_matrix:
    """float64 matrix of the rows."""
    weights = rows.weights.astype(np.float64)
    return csr_matrix((weights, rows.dimensions, rows.indptr), shape=(len(rows), size))


def ranking(scores: NDArray[np.float64], doc_ids: Sequence[str], k: int) -> list[ScoredDoc]:
    """The first ``k`` documents that score above 0, ties by order of arrival."""
    order = np.argsort(-scores, kind="stable")[:k]
    return [(doc_ids[i], float(scores[i])) for i in order if scores[i] > 0]


def measure(dataset: Dataset, checkpoint: str | None, index: Path) -> dict[str, Any]:
    """Figures of each system on one collection."""
    documents = list(dataset.documents())
    words = BM25Encoder(BM25Settings(analyzer="english"))
    parts = [SpacePart(PartExpression(1.0, WORDS), words)]
    if checkpoint is not None:
        learned = RecordingEncoder(create_encoder(LEARNED, checkpoint))
        parts.append(SpacePart(PartExpression(1.0, LEARNED, checkpoint), learned))
    records = (CorpusRecord(document, dataset.name, None) for document in documents)
    settings = BuildSettings(split=False)
    report = build_index(records, index, {"default": parts}, settings=settings)
    truths: dict[str, FloatWords | FloatLearned] = {WORDS: FloatWords(words, documents)}
    if checkpoint is not None:
        truths[LEARNED] = FloatLearned(learned, documents)
    doc_ids = [document.doc_id for document in documents]
    figures: dict[str, Any] = {"saturated": {part.name: part.saturated for part in report.parts}}
    with open_index(index) as searcher:
        for name, all_weights in SYSTEMS.items():
            if any(w and part not in truths for part, w in all_weights.items()):
                continue
            weights = {part: all_weights[part] for part in truths}
            exact, engine = {}, {}
            for query_id, text in dataset.queries.items():
                scores = sum(w * truths[part].scores(text) for part, w in weights.items() if w)
                exact[query_id] = ranking(np.asarray(scores), doc_ids, 10)
                hits = searcher.search(text, 10, part_weights=weights).hits
                engine[query_id] = [(hit.doc_id, hit.score) for hit in hits]
            figures[name] = compare(dataset, exact, engine)
    return figures


def compare(
    dataset: Dataset,
    exact: Mapping[str, list[ScoredDoc]],
    engine: Mapping[str, list[ScoredDoc]],
) -> dict[str, float]:
    """NDCG@10 of both, and in how many queries the first ten are the same in the same order."""
    ours = evaluate(dataset.qrels, engine, MEASURES).means["nDCG@10"]
    truth = evaluate(dataset.qrels, exact, MEASURES).means["nDCG@10"]
    same = sum(
        [doc_id for doc_id, _ in exact[q]] == [doc_id for doc_id, _ in engine[q]] for q in exact
    )
    return {
        "float": round(truth, 5),
        "engine": round(ours, 5),
        "difference": round(ours - truth, 5),
        "same_first_ten": round(same / len(exact), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--checkpoint", type=Path, help="directory of a SPLADE-type checkpoint")
    parser.add_argument("--max-length", type=int, default=256, help="tokens read of a document")
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    checkpoint = None
    if arguments.checkpoint is not None:
        checkpoint = f"{arguments.checkpoint}?max_length={arguments.max_length}"
    results = {}
    for name in arguments.collections:
        with tempfile.TemporaryDirectory() as folder:
            dataset = open_dataset(arguments.data / name)
            results[name] = measure(dataset, checkpoint, Path(folder) / "index")
    header = ["collection", "system", "float", "8-bit", "difference", "same first ten", "holds"]
    print(
        markdown_table(
            header,
            (
                [
                    name,
                    system,
                    f"{figures[system]['float']:.5f}",
                    f"{figures[system]['engine']:.5f}",
                    f"{figures[system]['difference']:+.5f}",
                    f"{figures[system]['same_first_ten']:.1%}",
                    "yes" if abs(figures[system]["difference"]) <= BAR else "no",
                ]
                for name, figures in results.items()
                for system in SYSTEMS
                if system in figures
            ),
        )
    )
    write_result(arguments.output, {"measure": "nDCG@10", "bar": BAR, "collections": results})


if __name__ == "__main__":
    main()
