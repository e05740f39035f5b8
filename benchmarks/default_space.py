"""What the default costs beside words alone: search time, build time, bytes.

The same documents are built twice with ``indexer build``'s settings, by English BM25 and by the
default expression (English BM25 of words and pairs, and the model that comes with Winnow) with
static vectors. The same questions go to both, and to the second also without some of its parts and
without ranking its first documents again, from the query string to document ids and scores, k=10,
one thread, in turns of whole passes; a question's time is its median over the passes. Bars: the
mean in the default space within twice that of English BM25, and within half of the BM25 of other
engines (``--peers``, each in a process of its own, as in ``benchmarks.engine``, which says what
they need), stop words kept.

    python -m benchmarks.default_space --data ../shared/data --work scratch/default-space

An index of several segments is brought together first, as ``indexer merge`` does.
The corpus is the Wikipedia passages and the arXiv abstracts together, 557,328 documents;
``--documents`` takes so many of them, evenly spread, since every document goes through the model.
The questions are those of ``wiki_passages/weak_pairs.jsonl``. Indexes that are in the work folder
are used again, with the figures of their build.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.engine.statistics import bootstrap_ratio, latencies, per_query_medians
from benchmarks.engine.text_peers import start_peers
from benchmarks.engine.texts import open_text, read_questions
from benchmarks.reporting import markdown_table, write_result
from encoders.base import Document
from encoders.shipped import default_expression
from indexer.builder import build
from indexer.merge import merge_segments
from retriever.searcher import Searcher, open_index

COLLECTIONS = ("wiki_passages", "arxiv_abstracts")
WORDS, PAIRS, LEARNED = "english-bm25", "english-bigrams-bm25", "splade"
BAR = 2.0
PEER_BAR = 0.5
Pass = Callable[[], list[int]]
"""Asks all questions once: nanoseconds per question."""


def read_documents(data: Path) -> Iterator[Document]:
    """The collections one after the other, ids made distinct."""
    for name in COLLECTIONS:
        with open_text(data / name / "corpus.jsonl.xz") as lines:
            for record in map(json.loads, lines):
                doc_id = f"{name}-{record['_id']}"
                yield Document(doc_id, record["text"], record.get("title") or "")


def evenly(documents: list[Document], wanted: int) -> list[Document]:
    """``wanted`` documents, evenly spread; all for 0."""
    if not wanted or wanted >= len(documents):
        return documents
    return [documents[number * len(documents) // wanted] for number in range(wanted)]


def built(
    name: str,
    expression: str,
    vectors: str,
    documents: list[Document],
    arguments: argparse.Namespace,
) -> tuple[Searcher, dict[str, Any]]:
    """An index of the documents, and what building it took."""
    index = arguments.work / f"{name}@{len(documents)}.winnow"
    record = index.with_suffix(".json")
    if not record.exists():
        print(f"building {index.name}: {expression}", flush=True)
        # Kernels are compiled and the model is loaded before time is taken.
        build(
            documents[:100],
            arguments.work / "warm-up.winnow",
            expression,
            vectors=vectors,
            overwrite=True,
        )
        started = time.perf_counter()
        report = build(
            documents,
            index,
            expression,
            vectors=vectors,
            overwrite=True,
            workers=arguments.workers,
            resume=True,
        )
        seconds = time.perf_counter() - started
        merge_segments(index)
        encoding = [part.encoding for part in report.parts if part.encoding]
        resumed = any(part.found for part in encoding)
        size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
        figures = {
            "expression": expression,
            "documents": report.documents,
            "passages": report.passages,
            "seconds": seconds,
            # A build that goes on after a stop does not tell what a whole one takes.
            "documents_per_second": None if resumed else report.documents / seconds,
            "bytes_per_document": size / report.documents,
            "weights_per_passage": {part.name: part.nnz / report.passages for part in report.parts},
            "encoding": [dataclasses.asdict(part) for part in encoding],
        }
        record.write_text(json.dumps(figures, indent=1))
    return open_index(index), dict(json.loads(record.read_bytes()))


def winnow_pass(searcher: Searcher, questions: list[str], k: int, **options: Any) -> Pass:
    """From the query string to document ids and scores."""

    def asked() -> list[int]:
        taken = []
        for question in questions:
            started = time.perf_counter_ns()
            searcher.rank(question, k, **options)
            taken.append(time.perf_counter_ns() - started)
        return taken

    return asked


def time_questions(systems: Mapping[str, Pass], passes: int) -> dict[str, list[list[int]]]:
    """Nanoseconds per pass and question, systems in turns; a first pass is not counted."""
    times: dict[str, list[list[int]]] = {name: [] for name in systems}
    for number in range(passes + 1):
        for name, asked in systems.items():
            taken = asked()
            if number:
                times[name].append(taken)
    return times


def _shown(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--work", type=Path, default=Path("scratch/default-space"))
    parser.add_argument("--documents", type=int, default=0, help="so many, evenly spread; 0: all")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1, help="of indexer build")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--peers", nargs="+", choices=("lucene", "tantivy"), default=[])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    documents = evenly(list(read_documents(arguments.data)), arguments.documents)
    questions = read_questions(arguments.data)["wiki"][: arguments.questions]
    print(f"{len(documents):,} documents, {len(questions):,} questions", flush=True)
    words, words_build = built("words", WORDS, "none", documents, arguments)
    default, default_build = built("default", default_expression(), "static", documents, arguments)
    questioned = partial(winnow_pass, questions=questions, k=arguments.k)
    systems: dict[str, Pass] = {
        "words": questioned(words),
        "words and learned part": questioned(default, part_weights={PAIRS: 0.0}, rerank=0.0),
        "words and pairs": questioned(default, part_weights={LEARNED: 0.0}, rerank=0.0),
        "default, not ranked again": questioned(default, rerank=0.0),
        "default": questioned(default),
    }
    builds = dict.fromkeys(systems, default_build) | {"words": words_build}
    if arguments.peers:
        texts = [f"{document.title} {document.text}".strip() for document in documents]
        folder = arguments.work / f"peers@{len(documents)}"
        peers = start_peers(arguments.peers, texts, questions, folder, arguments.k)
        systems |= {peer.name: peer for peer in peers}
    times = time_questions(systems, arguments.passes)
    medians = {name: per_query_medians(passes) for name, passes in times.items()}
    found = {name: latencies(values) for name, values in medians.items()}
    ratios = {
        f"{name} over {WORDS}": (*bootstrap_ratio(medians[name], medians["words"]), BAR)
        for name in builds
        if name != "words"
    }
    ratios |= {
        f"{own} over {name}": (*bootstrap_ratio(medians[own], values), PEER_BAR)
        for name, values in medians.items()
        if name not in builds
        for own in ("words and learned part", "default")
    }
    columns = list(next(iter(found.values())))
    print(
        markdown_table(
            ["space", *columns, "documents/s", "bytes per document"],
            (
                [
                    name,
                    *(f"{found[name][column]:,.0f}" for column in columns),
                    _shown(builds.get(name, {}).get("documents_per_second")),
                    _shown(builds.get(name, {}).get("bytes_per_document")),
                ]
                for name in found
            ),
        )
    )
    print()
    for name, (ratio, low, high, bar) in ratios.items():
        verdict = "met" if high <= bar else "missed"
        print(f"time of {name}: {ratio:.3f} ({low:.3f}-{high:.3f}); bar {bar:g}: {verdict}")
    write_result(
        arguments.output,
        {
            "documents": len(documents),
            "builds": builds,
            "latency": found,
            "ratios": ratios,
        },
    )


if __name__ == "__main__":
    main()
