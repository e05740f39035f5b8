"""Whether answers are the same, bit for bit, however an index is laid out and searched.

    python -m benchmarks.engine.invariance --data DIR --work DIR [--encoder EXPRESSION] [-o FILE]

Indexes real text, asks real questions, and hashes (ids, scores) of all answers per configuration:
1 to 16 segments, in order of arrival and bisected, with and without a filter, on 1 and 2 threads,
memory-mapped or not, compressed, and deletions marked in segments or dropped by a merge. All
delete the same documents and filter by the same condition.

The kernel chooses its way by the form of the terms' postings and by the windows, so that both are
forced by constants while an index is written (``FORMS``). Windows of 512 rows give these small
collections as many as a large one has, to leave out and to share among threads:

* ``mixed``: rare, windowed and dense terms, as the indexer chooses;
* ``production``: the same in windows of the size that indexes have;
* ``rare``: every list is rare: those of few postings are summed in a hash table, the others found
  in their windows by binary search;
* ``windows``: no list is, nor is there a column, and terms have their bounds per window;
* ``columns``: what 2 % of the rows hold is a column of bytes, in which rows are looked up.

Options of a search reach the rest (``PATHS``): ``pruned`` is the default, ``deep`` asks for so
many hits that they are kept in a buffer in place of a heap, and ``best first`` visits windows by
descending bound, under a budget that never ends. ``every posting`` is no search: it adds up all
stored impacts in numpy, so that answers that are all the same are right as well.

What cannot differ by construction: scales and the average length, since every build sees the same
documents and a merge keeps both (builds that see other documents have others, which is not what is
asked here); statistics after deletions, since all delete the same documents and none is fitted
again; the sum for a document, whatever the order of its terms and the number of threads, since it
is one of integers; and what a memory-mapped array holds. Which documents are found, the order of
equal scores, the bounds and the shown scores can differ, and so all of it is run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.engine.every_posting import EveryPosting, Hits
from benchmarks.engine.texts import read_questions, read_texts, standard_questions
from benchmarks.engine.winnow_index import CountedRows
from benchmarks.reporting import write_result
from encoders.base import Document
from encoders.expression import PartExpression
from indexer import sealing
from indexer.builder import build_index, delete_documents
from indexer.corpus.records import CorpusRecord
from indexer.format import postings
from indexer.format.manifest import read_manifest
from indexer.merge import merge_segments
from indexer.settings import BuildSettings, Order
from indexer.spaces import SpacePart, create_spaces
from kernels.cpu.processors import usable_cpus
from kernels.cpu.search import EXACT, Approximation
from retriever.searcher import Searcher, open_index

FOLDER = "invariance"
SEGMENTS = (1, 2, 5, 16)
FEW_SEGMENTS = (1, 4)
"""Of the layouts that differ in more than their number."""

DELETE_EVERY = 7


class Form(NamedTuple):
    """Constants under which an index is written.

    Attributes:
        window_bits: log2 of the rows of a window.
        rare_factor: A list of fewer postings per window is rare.
        dense_fraction: A list of more than this share of the rows is a column.
    """

    window_bits: int = 9
    rare_factor: int = postings.RARE_FACTOR
    dense_fraction: float = postings.DENSE_FRACTION

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Makes the indexer write this form."""
        rare, dense = self.rare_factor, self.dense_fraction
        with (
            patch.multiple(postings, RARE_FACTOR=rare, DENSE_FRACTION=dense),
            patch.object(sealing, "window_bits_for", lambda rows: self.window_bits),
        ):
            yield


FORMS: Mapping[str, Form] = {
    "mixed": Form(),
    "production": Form(postings.WINDOW_BITS),
    "rare": Form(rare_factor=1 << 30, dense_fraction=2.0),
    "windows": Form(rare_factor=0, dense_fraction=2.0),
    "columns": Form(rare_factor=0, dense_fraction=0.02),
}

EVERY_POSTING = "every posting"
PATHS: Mapping[str, tuple[int, Approximation]] = {
    "pruned": (0, EXACT),
    "deep": (101, EXACT),
    "best first": (0, Approximation(window_budget=1 << 40)),
}
"""Fewest hits to ask for, of which the first are taken, and limits."""

WAYS = (
    (EVERY_POSTING, 1, True),
    ("pruned", 1, True),
    ("pruned", 2, False),
    ("deep", 1, True),
    ("best first", 1, True),
)
"""Path, threads, and whether the index is memory-mapped."""


@dataclass(frozen=True)
class Answer:
    """The hash of all answers of one configuration; those of one ``group`` must be equal.

    ``windows`` is how many the largest segment has.
    """

    space: str
    group: str
    segments: int
    windows: int
    layout: str
    path: str
    threads: int
    memory_map: bool
    hits: int
    hash: str


def build_layouts(
    documents: Sequence[Document],
    spaces: Mapping[str, tuple[SpacePart, ...]],
    work: Path,
    counts: Sequence[int] = SEGMENTS,
    few: Sequence[int] = FEW_SEGMENTS,
) -> dict[str, Path]:
    """Indexes of the same documents in different layouts, by name.

    Args:
        documents: With their position as ``number`` in their metadata.
        spaces: What to index them by.
        work: Folder in which to replace the folder ``FOLDER`` of the indexes.
        counts: Numbers of segments, the most of which is built and the others merged from it.
        few: The same for bisected segments, and for forms other than the mixed one.
    """
    folder = work / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    layouts: dict[str, Path] = {}
    layouts |= _layouts_of(documents, spaces, folder, counts, "mixed", "arrival")
    layouts |= _layouts_of(documents, spaces, folder, few, "mixed", "bisected")
    for form in ("production", "rare", "windows", "columns"):
        layouts |= _layouts_of(documents, spaces, folder, few, form, "arrival")
    return layouts


def _layouts_of(
    documents: Sequence[Document],
    spaces: Mapping[str, tuple[SpacePart, ...]],
    folder: Path,
    counts: Sequence[int],
    form: str,
    order: Order,
) -> dict[str, Path]:
    """Layouts whose postings have one form, from one build."""
    doomed = [document.doc_id for document in documents[::DELETE_EVERY]]
    rows = -(-len(documents) // max(counts))
    settings = BuildSettings(split=False, segment_rows=rows, order=order)
    original = folder / f"{form}-{order}"
    layouts = {}
    with FORMS[form].patched():
        records = (CorpusRecord(document, "", None) for document in documents)
        build_index(records, original, spaces, settings=settings, fields={"number": "integer"})
        for deleted in ("no", "marked", "dropped") if form == "mixed" else ("no", "marked"):
            for segments in counts:
                name = f"{form}, {order}, {segments}, {deleted}"
                path = Path(shutil.copytree(original, folder / name.replace(", ", "-")))
                if deleted == "dropped":
                    delete_documents(path, doomed)
                merge_segments(path, segments=segments, compress=segments == 2)
                if deleted == "marked":
                    delete_documents(path, doomed)
                layouts[name] = path
    shutil.rmtree(original)
    return layouts


def answers(layouts: Mapping[str, Path], questions: Sequence[str], k: int = 10) -> Iterator[Answer]:
    """Hashes of the answers to questions, per layout, space, filter, and way of searching.

    Args:
        layouts: From :func:`build_layouts`.
        questions: As people typed them.
        k: Hits per question.
    """
    for name, path in layouts.items():
        manifest = read_manifest(path)
        windows = max(-(-entry.row_count >> entry.window_bits) for entry in manifest.segments)
        deleted = "none deleted" if name.endswith("no") else "deleted"
        half: dict[str, Any] = {"field": "number", "lt": manifest.next_ordinal // 2}
        searchers = {mapped: open_index(path, memory_map=mapped) for mapped in (True, False)}
        for space in manifest.spaces:
            truth = EveryPosting(path, space)
            for filtered, condition in (("no filter", None), ("filter", half)):
                # The brute force is not told by the index what is deleted and filtered out.
                alive = np.ones(manifest.next_ordinal, dtype=bool)
                if deleted == "deleted":
                    alive[::DELETE_EVERY] = False
                if condition:
                    alive[half["lt"] :] = False
                for way, threads, mapped in WAYS:
                    options = {"space": space, "filter": condition, "threads": threads}
                    found = (
                        (truth.ask(question, k, alive) for question in questions)
                        if way == EVERY_POSTING
                        else _searched(searchers[mapped], questions, k, way, options)
                    )
                    group = f"{deleted}, {filtered}"
                    where = space, group, len(manifest.segments), windows, name
                    yield Answer(*where, way, threads, mapped, *_hash(found))
        for searcher in searchers.values():
            searcher.close()


def _answers_of(layout: tuple[str, Path], questions: Sequence[str]) -> list[Answer]:
    """Those of one layout, for a process of its own."""
    return list(answers(dict([layout]), questions))


def _searched(
    searcher: Searcher, questions: Iterable[str], k: int, way: str, options: Mapping[str, Any]
) -> Iterator[Hits]:
    """The answers of an index to questions."""
    fewest, limits = PATHS[way]
    for question in questions:
        results = searcher.search(question, max(k, fewest), approximation=limits, **options)
        yield [(hit.doc_id, hit.score) for hit in results.hits[:k]]


def _hash(found: Iterable[Hits]) -> tuple[int, str]:
    """How many hits there are, and the hash of their ids and all bits of their scores."""
    digest = hashlib.sha256()
    count = 0
    for hits in found:
        count += len(hits)
        digest.update(repr([(doc_id, score.hex()) for doc_id, score in hits]).encode())
    return count, digest.hexdigest()[:16]


def differing(found: Sequence[Answer]) -> list[str]:
    """Spaces and groups whose answers are not all the same."""
    hashes: dict[str, set[str]] = {}
    for answer in found:
        hashes.setdefault(f"{answer.space}, {answer.group}", set()).add(answer.hash)
    return [group for group, seen in hashes.items() if len(seen) > 1]


def main() -> None:
    """Prints the table; exits 1 where answers differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--work", type=Path, required=True, help="where to put their folder")
    parser.add_argument("--encoder", default="english-bm25", help="what to index by")
    parser.add_argument("--vectors", type=Path, help="a data set of vectors of benchmarks.engine")
    parser.add_argument("--documents", type=int, default=32_768)
    parser.add_argument("--questions", type=int, default=2_000)
    parser.add_argument("-o", "--output", type=Path, help="write the hashes as JSON")
    options = parser.parse_args()
    count = options.documents
    spaces = dict(create_spaces({"default": options.encoder}))
    if options.vectors:
        described = json.loads((options.vectors / "description.json").read_text())
        count = min(count, described["documents"])
        encoder = CountedRows(options.vectors, described["dimensions"])
        spaces["learned"] = (SpacePart(PartExpression(1.0, "prepared"), encoder),)
    documents = [
        Document(str(number), text, "", {"number": number})
        for number, (_, text) in enumerate(islice(read_texts(options.data), count))
    ]
    questions = standard_questions(read_questions(options.data), options.questions)
    layouts = build_layouts(documents, spaces, options.work)
    ask = partial(_answers_of, questions=questions)
    found = []
    with ProcessPoolExecutor(usable_cpus(), get_context("spawn")) as pool:
        for answered in pool.map(ask, layouts.items()):
            found += answered
            for answer in answered:
                print(*asdict(answer).values(), sep="\t", flush=True)
    different = differing(found)
    content = {
        "documents": len(documents),
        "questions": len(questions),
        "different": different,
        "answers": [asdict(answer) for answer in found],
    }
    write_result(options.output, content)
    groups = {f"{answer.space}, {answer.group}" for answer in found}
    print(f"{len(found)} configurations, {len(groups)} groups; different: {different or 'none'}")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
