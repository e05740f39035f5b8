"""Relevance of the default space on dev sets, indexed as ``indexer build`` does it.

    python -m benchmarks.training.dev_sets --data ../shared/data --whole 1 1.5 2 3

For each ``--whole``, how many windows of the learned model's tokens a document may have and stay
one passage, every set is indexed once, and every weight of pairs of words is combined with every
weight of the learned part and of static vectors. The sets stand in ``dev_sets.toml``; the mean
counts each by its weight.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.reporting import markdown_table, write_result
from benchmarks.training.evaluate import LEARNED, MEASURE, PAIRS, WORDS
from encoders.base import Document
from encoders.shipped import BIGRAM_WEIGHT
from encoders.training.sources import Examples, Source, read_source
from eval.measures import evaluate
from eval.runs import ScoredDoc
from indexer import passaging
from indexer.builder import build_index
from indexer.corpus.records import CorpusRecord
from indexer.spaces import create_spaces
from retriever.searcher import open_index

SETS = Path(__file__).with_name("dev_sets.toml")


def read_sets(data: Path) -> dict[str, tuple[Source, Examples]]:
    """The dev sets, by name."""
    found = [Source.model_validate(entry) for entry in tomllib.loads(SETS.read_text())["dev"]]
    sources = [source.model_copy(update={"path": data / source.path}) for source in found]
    return {source.name: (source, read_source(source)) for source in sources}


def measure(
    examples: Examples, learned: str, vectors: str, weights: Sequence[tuple[float, float, float]]
) -> list[float]:
    """NDCG@10 of weights of pairs of words, of the learned part, and of static vectors."""
    records = (
        CorpusRecord(Document(str(number), text), "dev", None)
        for number, text in enumerate(examples.documents)
    )
    qrels = {
        str(number): {str(document): 1 for document in positives}
        for number, positives in enumerate(examples.positives)
    }
    values = []
    with tempfile.TemporaryDirectory() as work:
        index = Path(work) / "index.winnow"
        spaces = create_spaces({"default": f"{WORDS} + {PAIRS} + {learned}"})
        build_index(records, index, spaces, vectors=vectors)
        with open_index(index) as searcher:
            for pairs, part, rerank in weights:
                found = searcher.search_batch(
                    examples.queries,
                    10,
                    part_weights={PAIRS: pairs, LEARNED: part},
                    rerank=rerank,
                )
                run: dict[str, list[ScoredDoc]] = {
                    str(number): [(hit.doc_id, hit.score) for hit in results.hits]
                    for number, results in enumerate(found)
                }
                values.append(evaluate(qrels, run, [MEASURE]).means[str(MEASURE)])
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--learned", default=LEARNED, help="the learned part, splade[:DIR]")
    parser.add_argument("--pairs", type=float, nargs="+", default=[0.0, BIGRAM_WEIGHT])
    parser.add_argument("--weight", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--vectors", default="static", help="static vectors: static, or a DIR")
    parser.add_argument("--rerank", type=float, nargs="+", default=[0.0, 30.0])
    parser.add_argument("--whole", type=float, nargs="+", default=[passaging.WHOLE_BESIDE_WORDS])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    sets = read_sets(arguments.data)
    weights = list(itertools.product(arguments.pairs, arguments.weight, arguments.rerank))
    means = np.array([source.weight for source, _ in sets.values()])
    rows: list[list[Any]] = []
    results = []
    for whole in arguments.whole:
        with mock.patch.object(passaging, "WHOLE_BESIDE_WORDS", whole):
            columns = [
                measure(e, arguments.learned, arguments.vectors, weights) for _, e in sets.values()
            ]
        for (pairs, part, rerank), values in zip(weights, np.array(columns).T, strict=True):
            mean = float(np.average(values, weights=means))
            shown = [f"{value:.4f}" for value in (mean, *values)]
            rows.append([whole, pairs, part, rerank, *shown])
            found = dict(zip(sets, map(float, values.round(5)), strict=True))
            results.append(
                {"whole": whole, "pairs": pairs, "weight": part, "rerank": rerank}
                | {"mean": round(mean, 5), **found}
            )
            print(*rows[-1], flush=True)
    print("\n" + markdown_table(["whole", "pairs", "learned", "rerank", "mean", *sets], rows))
    write_result(arguments.output, {"sets": results})


if __name__ == "__main__":
    main()
