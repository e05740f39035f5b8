"""Questions that the default loses against BM25, with the texts: where a model fails, and why.

    python -m benchmarks.training.failures --data ../shared/data --runs RUNS --place cacm squad

Reads runs that ``benchmarks.training.evaluate --runs RUNS`` has kept. For each collection it counts
the questions won and lost by NDCG@10, and shows the worst losses: the question, the first judged
document with its ranks in both runs, and the first document that took its place.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.training.evaluate import MEASURE
from encoders.base import Document
from eval.datasets.beir import Dataset, open_dataset
from eval.measures import evaluate

Run = Mapping[str, Sequence[tuple[str, float]]]

DEFAULT = "+0.3 pairs +0.5 shipped +30 vectors"
NOT_WORSE = 0.05
"""A difference that is counted as neither won nor lost."""


def read_run(runs: Path, place: str, system: str) -> Run:
    """A kept run, whatever made it."""
    path = runs / place.replace(":", "-") / f"{system.replace(' ', '_')}.json"
    found: Run = json.loads(path.read_text(encoding="utf-8"))["run"]
    return {
        query_id: [(doc_id, score) for doc_id, score in hits] for query_id, hits in found.items()
    }


def differences(dataset: Dataset, ours: Run, base: Run) -> dict[str, float]:
    """What the first run gains over the second, by question, the worst first."""
    name = str(MEASURE)
    left, right = (evaluate(dataset.qrels, run, [MEASURE]).per_query for run in (ours, base))
    gains = {query_id: left[query_id][name] - right[query_id][name] for query_id in left}
    return dict(sorted(gains.items(), key=lambda item: item[1]))


def describe(
    dataset: Dataset, query_id: str, ours: Run, base: Run, documents: Mapping[str, Document]
) -> str:
    """A loss in a few lines."""
    judged = {doc_id for doc_id, grade in dataset.qrels[query_id].items() if grade > 0}
    ranks = {
        name: {doc_id: rank for rank, (doc_id, _) in enumerate(run.get(query_id, ()), 1)}
        for name, run in (("ours", ours), ("base", base))
    }
    lines = [f"    question: {dataset.queries[query_id]}"]
    wanted = min(judged & set(ranks["base"]), key=ranks["base"].__getitem__, default=None)
    if wanted is not None:
        rank = ranks["ours"].get(wanted, "beyond 10")
        lines.append(
            f"    wanted ({ranks['base'][wanted]}, now {rank}): {_short(documents[wanted])}"
        )
    taken = next((doc_id for doc_id, _ in ours.get(query_id, ()) if doc_id not in judged), None)
    if taken is not None:
        rank = ranks["base"].get(taken, "beyond 10")
        lines.append(f"    found ({rank}, now {ranks['ours'][taken]}): {_short(documents[taken])}")
    return "\n".join(lines)


def _short(document: Document, characters: int = 300) -> str:
    return " ".join(document.full_text().split())[:characters]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--runs", type=Path, required=True, help="of benchmarks.training.evaluate")
    parser.add_argument("--place", nargs="+", required=True, help="collections, or NAME:SPLIT")
    parser.add_argument("--system", default=DEFAULT)
    parser.add_argument("--base", default="BM25")
    parser.add_argument("--show", type=int, default=5, help="losses of each collection")
    arguments = parser.parse_args()
    for place in arguments.place:
        folder, _, split = place.partition(":")
        dataset = open_dataset(arguments.data / folder, split or None)
        ours, base = (
            read_run(arguments.runs, place, system) for system in (arguments.system, arguments.base)
        )
        gains = differences(dataset, ours, base)
        won = sum(gain > NOT_WORSE for gain in gains.values())
        lost = sum(gain < -NOT_WORSE for gain in gains.values())
        print(f"\n{place}: {won} questions won by more than {NOT_WORSE}, {lost} lost")
        documents = {document.doc_id: document for document in dataset.documents()}
        for query_id, gain in list(gains.items())[: arguments.show]:
            print(f"\n  {query_id}: {gain:+.3f}")
            print(describe(dataset, query_id, ours, base, documents))


if __name__ == "__main__":
    main()
