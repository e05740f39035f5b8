r"""Relevance of English BM25, parts beside it, a dense model, and reciprocal rank fusion.

Every collection is indexed once, whole documents or with ``--passages`` as ``indexer build`` splits
them, with a space of BM25, of words and of pairs of words, and such a space with a learned part for
each checkpoint. Every weight of the pairs is combined with every weight of the learned part and of
static vectors. The dense model reads the beginning of whole documents. All systems answer all
judged queries from the same index; documents with the query's id are ignored, as BEIR does.
Differences are tested query by query against BM25 (paired randomisation) and against the first
checkpoint (bootstrap interval of the mean over collections, queries drawn within each).

    python -m benchmarks.training.evaluate --data ../shared/data \\
        --checkpoint untrained=splade-tiny --checkpoint trained=RUN/selected --weight 0.5 \\
        --pairs 0 0.3 --dense all-minilm-l6-v2 -o benchmarks/results/default_model.json

Collections, in groups: ``unseen`` (nothing here was trained near them), ``near`` (their training
split, or documents of their domain, were trained on by a model or its teachers) and ``guard``
(must not get worse).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import xxhash
from ir_measures import nDCG
from numpy.typing import NDArray

from benchmarks.reporting import markdown_table, write_result
from benchmarks.training.counting_encoder import CountingEncoder, SpladeEncoder
from benchmarks.training.kept_runs import KeptRuns
from encoders.base import EncoderSpec
from encoders.checkpoint_files import content_hash
from encoders.expression import PartExpression
from encoders.registry import create_encoder
from eval.compare import Pair, compare
from eval.datasets.beir import Dataset, open_dataset
from eval.measures import evaluate
from eval.runs import ScoredDoc, without_identical_ids
from indexer.builder import build_index
from indexer.corpus.records import CorpusRecord
from indexer.settings import BuildSettings
from indexer.spaces import SpacePart, create_vectors
from retriever.searcher import Searcher, open_index

GROUPS = {
    "unseen": ("scifact", "cranfield", "cacm", "medline", "npl_vaswani"),
    "near": (
        "feedbackqa",
        "nq_qed",
        "msmarco_v1_dl19_dl20_pool:dl19",
        "msmarco_v1_dl19_dl20_pool:dl20",
    ),
    "guard": ("squad", "ohrbench_gt"),
}
WORDS, PAIRS, LEARNED = "english-bm25", "english-bigrams-bm25", "splade"
MEASURE = nDCG @ 10
DEPTH = 10
FUSED_DEPTH = 1000
RANK_CONSTANT = 60
"""Of reciprocal rank fusion (Cormack et al. 2009)."""

Weights = dict[str, Any]
Runs = dict[str, Mapping[str, Sequence[ScoredDoc]]]
Values = dict[str, dict[str, NDArray[np.float64]]]


def build(
    dataset: Dataset, checkpoints: Mapping[str, str], output: Path, *, split: bool, vectors: str
) -> dict[str, CountingEncoder]:
    """Indexes a collection; the encoders know how many dimensions a document got."""

    def lexical() -> tuple[SpacePart, ...]:
        return tuple(
            SpacePart(PartExpression(1.0, part), create_encoder(part)) for part in (WORDS, PAIRS)
        )

    spaces = {"words": lexical()}
    encoders = {}
    for name, argument in checkpoints.items():
        encoders[name] = CountingEncoder(cast("SpladeEncoder", create_encoder(LEARNED, argument)))
        learned = SpacePart(PartExpression(1.0, LEARNED, argument), encoders[name])
        spaces[name] = (*lexical(), learned)
    records = (CorpusRecord(document, dataset.name, None) for document in dataset.documents())
    build_index(records, output, spaces, settings=BuildSettings(split=split), vectors=vectors)
    return encoders


def search(searcher: Searcher, dataset: Dataset, depth: int, **options: Any) -> Any:
    """A run of all judged queries."""
    found = searcher.search_batch(list(dataset.queries.values()), depth + 1, **options)
    run = {
        query_id: [(hit.doc_id, hit.score) for hit in results.hits]
        for query_id, results in zip(dataset.queries, found, strict=True)
    }
    return without_identical_ids(run, depth)[0]


def dense_run(dataset: Dataset, directory: Path, cache: Path, max_length: int) -> Any:
    """Exact cosine search with a sentence-embedding model."""
    from encoders.training.dense_teacher import DenseTeacher

    teacher = DenseTeacher(directory, cache, max_length)
    documents = list(dataset.documents())
    vectors = teacher.vectors([d.full_text() for d in documents]).astype(np.float32)
    queries = teacher.vectors(list(dataset.queries.values())).astype(np.float32)
    run = {}
    for query_id, vector in zip(dataset.queries, queries, strict=True):
        scores = vectors @ vector
        best = np.argsort(-scores, kind="stable")[: FUSED_DEPTH + 1]
        run[query_id] = [(documents[number].doc_id, float(scores[number])) for number in best]
    return without_identical_ids(run, FUSED_DEPTH)[0]


def fuse(*runs: Any) -> Any:
    """Reciprocal rank fusion of runs over the same queries."""
    fused = {}
    for query_id in runs[0]:
        scores: dict[str, float] = {}
        for run in runs:
            for rank, (doc_id, _) in enumerate(run[query_id], start=1):
                scores[doc_id] = scores.get(doc_id, 0.0) + 1 / (RANK_CONSTANT + rank)
        fused[query_id] = sorted(scores.items(), key=lambda item: -item[1])
    return fused


class Systems:
    """All systems on one collection; runs that are kept are read, the others are made.

    The index is built when the first run needs it, with spaces for those checkpoints only that
    lack a run somewhere.
    """

    def __init__(self, arguments: argparse.Namespace, checkpoints: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._checkpoints = checkpoints
        self._kept = KeptRuns(arguments.runs)
        units = " passages" if arguments.passages else ""
        self.identities = {
            name: _identity(create_encoder(LEARNED, argument).spec) + units
            for name, argument in checkpoints.items()
        }
        vectors = create_vectors(arguments.vectors)
        self._vectors = ""
        if vectors is not None:
            asked = xxhash.xxh3_128_hexdigest(vectors.query_weight.tobytes())
            self._vectors = f" {vectors.content_hash} {asked} {vectors.config.depth}"
        self._words = _identity(create_encoder(WORDS).spec) + units
        self._pairs = f"{self._words} {_identity(create_encoder(PAIRS).spec)}"
        if arguments.dense:
            files = sorted(arguments.dense.rglob("*.safetensors"))
            self._dense = f"{content_hash(files, ())} {arguments.max_length}{units}"

    def of(self, datasets: Mapping[str, Dataset]) -> dict[str, tuple[Runs, dict[str, Any]]]:
        """Runs, and sizes of learned parts, by place; the places share their documents."""
        missing = [
            name
            for name in self._checkpoints
            if not all(
                self._kept.read(place, system, identity)
                for place in datasets
                for system, identity, _ in self._learned(name)
            )
        ]
        kept_base = all(
            self._kept.read(place, system, identity)
            for place in datasets
            for system, identity, _ in self._lexical()
        )
        kept_dense = not self._arguments.dense or all(
            self._kept.read(place, system, self._dense)
            for place in datasets
            for system in ("dense", "RRF")
        )
        if missing or not kept_base or not kept_dense:
            chosen = {name: self._checkpoints[name] for name in missing}
            with tempfile.TemporaryDirectory() as work:
                index = Path(work) / "index.winnow"
                encoders = build(
                    next(iter(datasets.values())),
                    chosen,
                    index,
                    split=self._arguments.passages,
                    vectors=self._arguments.vectors,
                )
                with open_index(index) as searcher:
                    for place, dataset in datasets.items():
                        self._make(place, dataset, searcher, encoders, not kept_dense)
        return {place: self._read(place) for place in datasets}

    def _lexical(self) -> list[tuple[str, str, Weights]]:
        """Systems without a learned part: name, identity, weights of parts and of vectors."""
        found: list[tuple[str, str, Weights]] = []
        for pairs in dict.fromkeys([0.0, *self._arguments.pairs]):
            for rerank in self._arguments.rerank:
                name = f"BM25 +{pairs:g} pairs" if pairs else "BM25"
                identity = self._pairs if pairs else self._words
                found.append(self._with_vectors(name, identity, {PAIRS: pairs}, rerank))
        return found

    def _learned(self, name: str) -> list[tuple[str, str, Weights]]:
        """Systems with the learned part of a checkpoint, likewise."""
        found = []
        for pairs in self._arguments.pairs:
            for weight in self._arguments.weight:
                for rerank in self._arguments.rerank:
                    system = (
                        f"+{pairs:g} pairs +{weight:g} {name}" if pairs else f"+{weight:g} {name}"
                    )
                    parts = {PAIRS: pairs, LEARNED: weight}
                    found.append(self._with_vectors(system, self.identities[name], parts, rerank))
        return found

    def _with_vectors(
        self, system: str, identity: str, parts: dict[str, float], rerank: float
    ) -> tuple[str, str, Weights]:
        if rerank:
            system, identity = f"{system} +{rerank:g} vectors", identity + self._vectors
        return system, identity, {"part_weights": parts, "rerank": rerank}

    def _make(
        self,
        place: str,
        dataset: Dataset,
        searcher: Searcher,
        encoders: Mapping[str, CountingEncoder],
        dense: bool,
    ) -> None:
        runs = {}
        for system, identity, weights in self._lexical():
            depth = FUSED_DEPTH if dense else DEPTH
            runs[system] = search(searcher, dataset, depth, space="words", **weights)
            self._keep(place, system, identity, runs[system])
        for name, encoder in encoders.items():
            sizes = encoder.sizes(list(dataset.queries.values()))
            for system, identity, weights in self._learned(name):
                run = search(searcher, dataset, DEPTH, space=name, **weights)
                self._keep(place, system, identity, run, sizes)
        if dense:
            arguments = self._arguments
            found = dense_run(dataset, arguments.dense, arguments.cache, arguments.max_length)
            self._keep(place, "dense", self._dense, found)
            self._keep(place, "RRF", self._dense, fuse(runs["BM25"], found))

    def _keep(
        self,
        place: str,
        system: str,
        identity: str,
        run: Any,
        sizes: Mapping[str, Any] | None = None,
    ) -> None:
        first = {query_id: hits[:DEPTH] for query_id, hits in run.items()}
        self._kept.write(place, system, identity, first, sizes or {})

    def _read(self, place: str) -> tuple[Runs, dict[str, Any]]:
        identities = {system: identity for system, identity, _ in self._lexical()}
        checkpoint_of = {}
        for name in self._checkpoints:
            for system, identity, _ in self._learned(name):
                identities[system] = identity
                checkpoint_of[system] = name
        if self._arguments.dense:
            identities |= {"dense": self._dense, "RRF": self._dense}
        runs: Runs = {}
        sizes = {}
        for system, identity in identities.items():
            found = self._kept.read(place, system, identity)
            assert found is not None
            runs[system] = found[0]
            if found[1]:
                sizes[checkpoint_of[system]] = found[1]
        return runs, sizes


def _identity(spec: EncoderSpec) -> str:
    return f"{spec.name} {spec.max_length} {dict(spec.parameters)}"


def interval(a: Sequence[NDArray[np.float64]], b: Sequence[NDArray[np.float64]]) -> list[float]:
    """95% bootstrap interval of the difference of means over collections."""
    rng = np.random.default_rng(0)
    draws = np.zeros(10_000)
    for left, right in zip(a, b, strict=True):
        difference = left - right
        for start in range(0, len(draws), 500):
            chosen = rng.integers(0, len(difference), (500, len(difference)))
            draws[start : start + 500] += difference[chosen].mean(axis=1) / len(a)
    return [round(float(value), 4) for value in np.percentile(draws, [2.5, 97.5])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument(
        "--checkpoint", action="append", default=[], metavar="NAME=DIR?SETTINGS", help="repeatable"
    )
    parser.add_argument("--weight", type=float, nargs="+", default=[0.5], help="of the part")
    parser.add_argument("--pairs", type=float, nargs="+", default=[0.0], help="weight of pairs")
    parser.add_argument("--vectors", default="static", help="static vectors: static, or a DIR")
    parser.add_argument("--rerank", type=float, nargs="+", default=[0.0], help="weight of vectors")
    parser.add_argument("--max-length", type=int, default=256, help="tokens read of a document")
    parser.add_argument("--passages", action="store_true", help="split documents of more tokens")
    parser.add_argument("--dense", type=Path, help="directory of a sentence-embedding model")
    parser.add_argument("--cache", type=Path, default=Path("checkpoints/teachers/dense"))
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--runs", type=Path, help="keep runs here and do not repeat them")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    # BM25 of words alone is what others are compared with.
    arguments.pairs = list(dict.fromkeys([0.0, *arguments.pairs]))
    arguments.rerank = list(dict.fromkeys([0.0, *arguments.rerank]))
    if arguments.runs is None:
        with tempfile.TemporaryDirectory() as folder:
            arguments.runs = Path(folder)
            report(arguments)
    else:
        report(arguments)


def report(arguments: argparse.Namespace) -> None:
    """Measures, prints tables and writes the result."""
    checkpoints = {}
    for item in arguments.checkpoint:
        name, _, argument = item.partition("=")
        mark = "&" if "?" in argument else "?"
        checkpoints[name] = f"{argument}{mark}max_length={arguments.max_length}"
    systems_of = Systems(arguments, checkpoints)
    values: Values = {}
    tables, results = [], {}
    folders: dict[str, list[str]] = {}
    for place in (place for group in arguments.groups for place in GROUPS[group]):
        folders.setdefault(place.partition(":")[0], []).append(place)
    for folder, places in folders.items():
        datasets = {
            place: open_dataset(arguments.data / folder, place.partition(":")[2] or None)
            for place in places
        }
        for place, (runs, sizes) in systems_of.of(datasets).items():
            result = _measured(datasets[place], runs, values.setdefault(place, {}))
            results[place] = result | {"sizes": sizes}
            print(place, result["ndcg"], sizes, flush=True)
    systems = list(next(iter(values.values())))
    for group in arguments.groups:
        members = GROUPS[group]
        rows = [[p, *(f"{values[p][s].mean():.3f}" for s in systems)] for p in members]
        means = [np.mean([values[p][s].mean() for p in members]) for s in systems]
        tables += [*rows, [f"**mean, {group}**", *(f"{mean:.4f}" for mean in means)]]
    both = [p for g in ("unseen", "near") if g in arguments.groups for p in GROUPS[g]]
    if both:
        means = [np.mean([values[p][s].mean() for p in both]) for s in systems]
        tables.append(["**mean, unseen and near**", *(f"{mean:.4f}" for mean in means)])
    print("\n" + markdown_table(["NDCG@10", *systems], tables))
    intervals = _intervals(values, systems, arguments.groups)
    for line, found in intervals.items():
        print(f"{line}: {found[0]:+.4f} to {found[1]:+.4f}")
    write_result(arguments.output, {"collections": results, "intervals": intervals})


def _measured(dataset: Dataset, runs: Runs, values: dict[str, NDArray[np.float64]]) -> Any:
    name = str(MEASURE)
    evaluations = {system: evaluate(dataset.qrels, run, [MEASURE]) for system, run in runs.items()}
    for system, evaluation in evaluations.items():
        values[system] = np.array([row[name] for row in evaluation.per_query.values()])
    base = evaluations["BM25"].per_query
    tests = {}
    for system, evaluation in evaluations.items():
        if system != "BM25":
            [row] = compare([Pair(dataset.name, evaluation.per_query, base)], [name])
            tests[system] = {"difference": round(row.difference, 5), "p": row.randomisation}
    ndcg = {system: round(e.means[name], 5) for system, e in evaluations.items()}
    return {"queries": len(dataset.qrels), "ndcg": ndcg, "against_bm25": tests}


def _intervals(values: Values, systems: Sequence[str], groups: Iterable[str]) -> Any:
    """Every learned system against BM25 and against the first one, by group."""
    learned = [system for system in systems if system.startswith("+")]
    found = {}
    for group in groups:
        for system in learned:
            for other in dict.fromkeys(["BM25", learned[0]]):
                if system != other:
                    sides = ([values[p][s] for p in GROUPS[group]] for s in (system, other))
                    found[f"{group}: {system} - {other}"] = interval(*sides)
    return found


if __name__ == "__main__":
    main()
