"""Two parts side by side: exact sums of scores, and what they add to relevance.

Every collection is indexed once, whole documents, with three spaces: BM25 alone, a SPLADE-type
checkpoint alone, and both as the parts of one space. Compared are, for all judged queries and
several weights of the learned part, the scores of the first 1,000 documents of the two-part
space with the sums of the scores that the spaces built apart give (all of their documents are
retrieved; one that a part does not match has 0 there). Relevance is measured on the same index,
in which nothing is encoded again for another weight. No document is left out for having a
query's id: in the classic collections queries and documents are numbered apart.

    python -m benchmarks.two_parts --data ../shared/data --checkpoint splade-tiny
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.recording import RecordingEncoder
from benchmarks.reporting import markdown_table, write_result
from encoders.expression import PartExpression
from encoders.registry import create_encoder
from eval.datasets.beir import Dataset, open_dataset
from eval.measures import evaluate, parse_measures
from indexer.builder import build_index
from indexer.corpus.records import CorpusRecord
from indexer.settings import BuildSettings
from indexer.spaces import SpacePart
from retriever.searcher import Searcher, open_index

COLLECTIONS = ("scifact", "cranfield", "cacm", "medline")
WORDS, LEARNED = "english-bm25", "splade"
WEIGHTS = (0.5, 1.0, 2.0)
DEPTH = 1000
MEASURES = parse_measures(["nDCG@10", "R@100"])


def build(dataset: Dataset, checkpoint: str, output: Path) -> Searcher:
    """Indexes a collection with the spaces ``both``, ``words`` and ``learned``, if need be."""
    if output.exists():
        return open_index(output)
    words = SpacePart(PartExpression(1.0, WORDS), create_encoder(WORDS))
    encoder = RecordingEncoder(create_encoder(LEARNED, checkpoint))
    learned = SpacePart(PartExpression(1.0, LEARNED, checkpoint), encoder)
    records = (CorpusRecord(document, dataset.name, None) for document in dataset.documents())
    spaces = {"both": (words, learned), "words": (words,), "learned": (learned,)}
    build_index(records, output, spaces, settings=BuildSettings(split=False))
    return open_index(output)


def deviation(searcher: Searcher, queries: Mapping[str, str], weight: float) -> dict[str, Any]:
    """Largest relative difference between scores of the two-part space and sums of scores.

    ``missed`` counts documents whose sum of scores should have brought them into the first 1,000.
    """
    count = searcher.description().document_count
    largest, compared, by_one_part, missed = 0.0, 0, 0, 0
    for text in queries.values():
        words = {h.doc_id: h.score for h in searcher.search(text, count, space="words").hits}
        learned = {h.doc_id: h.score for h in searcher.search(text, count, space="learned").hits}
        hits = searcher.search(text, DEPTH, space="both", part_weights={LEARNED: weight}).hits
        for hit in hits:
            total = words.get(hit.doc_id, 0.0) + weight * learned.get(hit.doc_id, 0.0)
            largest = max(largest, abs(hit.score - total) / total)
            by_one_part += hit.doc_id not in words or hit.doc_id not in learned
        compared += len(hits)
        lowest = hits[-1].score * (1 + 1e-6) if len(hits) == DEPTH else 0.0
        found = {hit.doc_id for hit in hits}
        missed += sum(
            words.get(doc_id, 0.0) + weight * learned.get(doc_id, 0.0) > lowest
            for doc_id in (words.keys() | learned.keys()) - found
        )
    return {
        "weight": weight,
        "largest_relative_deviation": largest,
        "scores_compared": compared,
        "matched_by_one_part": by_one_part,
        "missed": missed,
    }


def relevance(searcher: Searcher, dataset: Dataset) -> dict[str, dict[str, float]]:
    """NDCG@10 and recall@100 of each part, and of both by weight."""
    systems: dict[str, dict[str, Any]] = {
        "BM25": {"space": "words"},
        "SPLADE": {"space": "learned"},
        **{f"+{w}": {"space": "both", "part_weights": {LEARNED: w}} for w in WEIGHTS},
    }
    figures = {}
    for name, options in systems.items():
        run = {
            query_id: [(h.doc_id, h.score) for h in searcher.search(text, 100, **options).hits]
            for query_id, text in dataset.queries.items()
        }
        means = evaluate(dataset.qrels, run, MEASURES).means
        figures[name] = {measure: round(value, 5) for measure, value in means.items()}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--checkpoint", type=Path, required=True, help="directory of a checkpoint")
    parser.add_argument("--max-length", type=int, default=256, help="tokens read of a document")
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS)
    parser.add_argument("--work", type=Path, help="keeps the indexes, and uses those it has")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    checkpoint = f"{arguments.checkpoint}?max_length={arguments.max_length}"
    results: dict[str, Any] = {}
    for name in arguments.collections:
        dataset = open_dataset(arguments.data / name)
        with tempfile.TemporaryDirectory() as folder:
            work = arguments.work or Path(folder)
            searcher = build(dataset, checkpoint, work / f"{name}.winnow")
            results[name] = {
                "documents": searcher.description().document_count,
                "queries": len(dataset.queries),
                "deviations": [deviation(searcher, dataset.queries, w) for w in WEIGHTS],
                "relevance": relevance(searcher, dataset),
            }
    print(
        markdown_table(
            ["collection", *(f"deviation, w = {w}" for w in WEIGHTS), "scores", "missed"],
            (
                [
                    name,
                    *(f"{d['largest_relative_deviation']:.1e}" for d in result["deviations"]),
                    f"{sum(d['scores_compared'] for d in result['deviations']):,}",
                    sum(d["missed"] for d in result["deviations"]),
                ]
                for name, result in results.items()
            ),
        )
    )
    systems = list(next(iter(results.values()))["relevance"])
    print(
        "\n"
        + markdown_table(
            ["NDCG@10 / recall@100", *systems],
            (
                [name, *("{nDCG@10:.3f} / {R@100:.3f}".format(**f) for f in figures.values())]
                for name, figures in ((n, r["relevance"]) for n, r in results.items())
            ),
        )
    )
    write_result(arguments.output, {"max_length": arguments.max_length, "collections": results})


if __name__ == "__main__":
    main()
