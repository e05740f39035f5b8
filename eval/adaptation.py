"""Chooses the weights of a space's parts for a corpus without any judgements.

The corpus itself gives the queries: a title is a question that the documents of this title
answer, and so is the heading of a document without a title. In the index the title is part of the
document and would be found by its words alone; so a sample of the documents is indexed once more,
without titles and headings, by the same encoders, and the weights are tuned there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import xxhash

from encoders.base import Document
from eval.corpus_titles import titled_sample
from eval.datasets.beir import Dataset
from eval.errors import TuningError
from eval.sample_index import build_sample
from eval.tune import Progress, Tuning, TuningProtocol, apply_weights, tune
from retriever.searcher import open_index
from retriever.snapshot import Snapshot, open_snapshot

FEWEST_TITLES = 50


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What was tried on pseudo-queries.

    Attributes:
        tuning: Weights, and what they do on the half of the pseudo-queries that was held back.
        documents: Documents of the sample.
        titles: Different titles that served as queries.
        headings: Different headings of documents without a title that did.
        applied: Whether the index now has the weights: only if they are better.
    """

    tuning: Tuning
    documents: int
    titles: int
    headings: int
    applied: bool

    @property
    def is_better(self) -> bool:
        """Whether the weights are others than the index's own, and better on the other half."""
        return self.tuning.is_changed and self.tuning.held_back.is_gain


def adapt_weights(
    index: Path,
    *,
    space: str | None = None,
    documents: int = 4000,
    queries: int = 1000,
    protocol: TuningProtocol | None = None,
    dry_run: bool = False,
    progress: Progress = lambda line: None,
) -> Adaptation:
    """Tunes an index's part weights on its own titles, and keeps them if they are better.

    The weight of static vectors stays as it is: titles want less of them than questions do.

    Args:
        index: Directory of the index.
        space: Name of the space; the index's default one otherwise.
        documents: Most documents of the sample, drawn by a hash of their ids.
        queries: Most titles and headings asked.
        protocol: See ``eval.tune``.
        dry_run: Leave the index as it is.
        progress: Told each step in one line.

    Raises:
        TuningError: The space has one part, or fewer than ``FEWEST_TITLES`` different titles
            and headings of documents with a text.
        EncoderError: An encoder of the index cannot be loaded, or has changed since.
    """
    snapshot = open_snapshot(index)
    name = named_space(snapshot, space)
    sample = titled_sample(sample_documents(snapshot, documents))
    titled = [
        ([sample.documents[number].doc_id for number in numbers], title)
        for title, numbers in islice(sample.titles.items(), queries)
    ]
    if len(titled) < FEWEST_TITLES:
        raise TuningError(
            f"{index} has {sample.counts} that differ, of documents with a text; at least "
            f"{FEWEST_TITLES} are needed to ask them. Give judgements to python -m eval tune "
            "instead."
        )
    dataset = Dataset(
        name=snapshot.index.name,
        path=index,
        split="titles",
        queries={doc_ids[0]: title for doc_ids, title in titled},
        qrels={doc_ids[0]: dict.fromkeys(doc_ids, 1) for doc_ids, _ in titled},
    )
    # A query has the id of a document that it should find.
    protocol = protocol or TuningProtocol(ignore_identical_ids=False)
    progress(f"indexing {len(sample.documents)} documents without their titles")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "sample.winnow"
        untitled = (Document(document.doc_id, document.text) for document in sample.documents)
        build_sample(snapshot, name, untitled, work)
        with open_index(work) as searcher:
            tuning = tune(
                searcher, dataset, protocol, space=name, with_vectors=False, progress=progress
            )
    headings = sum(title in sample.headings for _, title in titled)
    found = Adaptation(tuning, len(sample.documents), len(titled) - headings, headings, False)
    if dry_run or not found.is_better:
        return found
    apply_weights(index, tuning)
    return replace(found, applied=True)


def named_space(snapshot: Snapshot, name: str | None) -> str:
    """A space of the index: that of the name, or the default one.

    Raises:
        TuningError: There is none of this name.
    """
    name = name or snapshot.manifest.default_space
    if name not in snapshot.manifest.spaces:
        known = ", ".join(map(repr, snapshot.manifest.spaces))
        raise TuningError(f"the index has no space {name!r}; it has {known}.")
    return name


def sample_documents(snapshot: Snapshot, count: int) -> list[Document]:
    """At most ``count`` live documents with a text, in the order of the hashes of their ids."""
    places = sorted(_places(snapshot))
    found: list[Document] = []
    for _, number, doc_num in places:
        if len(found) == count:
            break
        segment = snapshot.segments[number]
        text = segment.documents.text(doc_num)
        if text.strip():
            title = segment.documents.title(doc_num)
            found.append(Document(segment.doc_ids[doc_num], text, title=title.strip()))
    return found


def _places(snapshot: Snapshot) -> Iterator[tuple[int, int, int]]:
    for number, segment in enumerate(snapshot.segments):
        for doc_num, doc_id in enumerate(segment.doc_ids):
            if segment.is_alive(doc_num):
                yield xxhash.xxh64_intdigest(doc_id.encode()), number, doc_num
