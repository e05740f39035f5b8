"""Whether answers are the same, bit for bit, however an index is laid out and searched.

    python -m benchmarks.engine.invariance --data DIR --work DIR [--encoder EXPRESSION] [-o FILE]

Indexes real text, asks real questions, and hashes (ids, scores) of all answers per configuration:
1 to 16 segments, in order of arrival and bisected, with and without a filter, on 1 and 2 threads,
memory-mapped or not, compressed, and deletions marked in segments or dropped by a merge. All
delete the same documents and filter by the same condition.

The kernel chooses its way by the form of the terms' postings, so that each is forced by the
constants of ``indexer.format.postings`` while an index is written (``FORMS``):

* ``rare``: every list is rare, and queries of few postings are summed in a hash table;
* ``windows``: no list is, nor is there a column, and terms have their bounds per window;
* ``columns``: what 2 % of the rows hold is a column of bytes, in which rows are looked up.

Options of a search reach the rest (``PATHS``): ``pruned`` is the default, ``all postings`` (by
``count_total``) switches bounds off, and ``best first`` visits windows by descending bound, under a
budget that never ends.

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.engine.texts import read_questions, read_texts, standard_questions
from benchmarks.engine.winnow_index import PreparedRows
from benchmarks.reporting import write_result
from encoders.base import Document, SparseRows
from encoders.expression import PartExpression
from encoders.query.analyzer import WordPieceAnalyzer
from encoders.query.tokenizer import WordPieceTokenizer
from indexer.builder import build_index, delete_documents
from indexer.corpus.records import CorpusRecord
from indexer.format import postings
from indexer.format.manifest import read_manifest
from indexer.merge import merge_segments
from indexer.settings import BuildSettings, Order
from indexer.spaces import SpacePart, create_spaces
from kernels.cpu.search import EXACT, Approximation
from retriever.searcher import Searcher, open_index

SEGMENTS = (1, 2, 5, 16)
DELETE_EVERY = 7
FORMS: Mapping[str, Mapping[str, float]] = {
    "default": {},
    "rare": {"RARE_FACTOR": 1 << 30, "DENSE_FRACTION": 2.0},
    "windows": {"RARE_FACTOR": 0, "DENSE_FRACTION": 2.0},
    "columns": {"RARE_FACTOR": 0, "DENSE_FRACTION": 0.02},
}
"""Constants of ``indexer.format.postings`` under which an index is written."""

PATHS: Mapping[str, Mapping[str, Any]] = {
    "pruned": {"approximation": EXACT},
    "all postings": {"count_total": True},
    "best first": {"approximation": Approximation(window_budget=1 << 40)},
}
WAYS = (
    ("pruned", 1, True),
    ("pruned", 2, True),
    ("pruned", 1, False),
    ("all postings", 1, True),
    ("best first", 1, True),
    ("best first", 2, False),
)
"""Path, threads, and whether the index is memory-mapped."""


class CountedRows(PreparedRows):
    """Prepared rows whose counts are those of the tokenizer, as an encoder's have to be.

    A deletion takes from the document frequencies what the tokenizer finds in the stored text.
    """

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        self._analyzer = WordPieceAnalyzer(
            WordPieceTokenizer((folder / "tokenizer.json").read_bytes())
        )

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Counts of the tokens that a query could have."""
        counts = self._analyzer.count_batch([document.full_text() for document in documents])
        ids = [self._analyzer.tokenizer.id(term) for term in counts.terms or ()]
        numbers = np.array(ids, dtype=np.uint32)  # ascending, as the analyzer's terms are
        return SparseRows(counts.indptr, numbers[counts.dimensions], counts.weights)


@dataclass(frozen=True)
class Answer:
    """The hash of all answers of one configuration; those of one ``group`` must be equal."""

    space: str
    group: str
    segments: int
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
) -> dict[str, Path]:
    """Indexes of the same documents in different layouts, by name; replaces ``work``.

    Args:
        documents: With ``number`` in their metadata.
        spaces: What to index them by.
        work: Folder for the indexes.
        counts: Numbers of segments, the most of which is built and the others merged from it.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    layouts: dict[str, Path] = {}
    orders: tuple[Order, ...] = ("arrival", "bisected")
    for order in orders:
        layouts |= _forms_of(documents, spaces, work, counts, "default", order)
    for form in ("rare", "windows", "columns"):
        layouts |= _forms_of(documents, spaces, work, (1, max(counts)), form, "arrival")
    return layouts


def _forms_of(
    documents: Sequence[Document],
    spaces: Mapping[str, tuple[SpacePart, ...]],
    work: Path,
    counts: Sequence[int],
    form: str,
    order: Order,
) -> dict[str, Path]:
    """Layouts whose postings have one form, from one build."""
    doomed = [document.doc_id for document in documents[::DELETE_EVERY]]
    rows = -(-len(documents) // max(counts))
    settings = BuildSettings(split=False, segment_rows=rows, order=order)
    original = work / f"{form}-{order}"
    layouts = {}
    constants: dict[str, Any] = dict(FORMS[form])
    with patch.multiple(postings, **constants) if constants else nullcontext():
        records = (CorpusRecord(document, "", None) for document in documents)
        build_index(records, original, spaces, settings=settings, fields={"number": "integer"})
        for deleted in ("no", "marked", "dropped") if form == "default" else ("no", "marked"):
            for segments in counts:
                name = f"{form}, {order}, {segments}, {deleted}"
                path = Path(shutil.copytree(original, work / name.replace(", ", "-")))
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
        deleted = "none deleted" if name.endswith("no") else "deleted"
        half = {"field": "number", "lt": manifest.next_ordinal // 2}
        searchers = {mapped: open_index(path, memory_map=mapped) for mapped in (True, False)}
        for space in manifest.spaces:
            for condition in (None, half):
                for way, threads, mapped in WAYS:
                    options = {**PATHS[way], "threads": threads, "filter": condition}
                    hits, found = _hash(searchers[mapped], questions, k, space, options)
                    group = f"{deleted}, {'filter' if condition else 'no filter'}"
                    count = len(manifest.segments)
                    yield Answer(space, group, count, name, way, threads, mapped, hits, found)
        for searcher in searchers.values():
            searcher.close()


def differing(found: Sequence[Answer]) -> list[str]:
    """Spaces and groups whose answers are not all the same."""
    hashes: dict[str, set[str]] = {}
    for answer in found:
        hashes.setdefault(f"{answer.space}, {answer.group}", set()).add(answer.hash)
    return [group for group, seen in hashes.items() if len(seen) > 1]


def _hash(
    searcher: Searcher, questions: Sequence[str], k: int, space: str, options: Mapping[str, Any]
) -> tuple[int, str]:
    digest = hashlib.sha256()
    count = 0
    for question in questions:
        hits = searcher.search(question, k, space=space, **options).hits
        count += len(hits)
        # float.hex gives every bit of a score.
        digest.update(repr([(hit.doc_id, hit.score.hex()) for hit in hits]).encode())
    return count, digest.hexdigest()[:16]


def main() -> None:
    """Prints the table; exits 1 where answers differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--work", type=Path, required=True, help="folder for indexes, replaced")
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
    found = []
    for answer in answers(build_layouts(documents, spaces, options.work), questions):
        found.append(answer)
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
