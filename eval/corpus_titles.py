"""Collections with judgements from documents that have none: a title asks for its documents.

A document without a title may begin with a heading, which then takes the title's place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import xxhash

from encoders.base import Document

TENTHS = ("dev", "check", *["train"] * 8)
"""Splits of the titles, by their hashes."""

_MOST_WORDS = 12
_FINAL = tuple(".!?:;,…。！？：；，")


@dataclass(frozen=True, slots=True)
class TitledSample:
    """Documents of a corpus, and what asks for them.

    Attributes:
        documents: As they are asked for: a heading is the title, and no longer in the text.
        titles: Positions of the documents of each title: parts of one text may share theirs.
        headings: Those of the titles that are headings only.
    """

    documents: Sequence[Document]
    titles: Mapping[str, Sequence[int]]
    headings: frozenset[str]

    @property
    def counts(self) -> str:
        """How many titles and headings there are, for a message."""
        return f"{len(self.titles) - len(self.headings)} titles and {len(self.headings)} headings"


def titled_sample(documents: Sequence[Document]) -> TitledSample:
    r"""Finds what asks for documents.

    >>> sample = titled_sample([
    ...     Document("a", "x", title="T"),
    ...     Document("b", "Two words\nand the text that they stand above"),
    ...     Document("c", "z", title="T"),
    ...     Document("d", "no heading"),
    ... ])
    >>> sample.titles, sample.documents[1].text
    ({'T': [0, 2], 'Two words': [1]}, 'and the text that they stand above')
    >>> sample.headings
    frozenset({'Two words'})
    """
    asked = []
    titles: dict[str, list[int]] = {}
    proper = set()
    for number, document in enumerate(documents):
        if document.title:
            proper.add(document.title)
        elif (parted := split_heading(document.text)) is not None:
            document = replace(document, title=parted[0], text=parted[1])
        if document.title:
            titles.setdefault(document.title, []).append(number)
        asked.append(document)
    return TitledSample(asked, titles, frozenset(titles) - proper)


def split_heading(text: str) -> tuple[str, str] | None:
    r"""The heading that a text begins with and the rest; ``None`` where it begins with none.

    A heading is a first line of at most twelve words that does not end as a sentence does, above
    a longer text. The marks of a Markdown heading are not part of it.

    >>> split_heading("# Getting started\n\nInstall the package first.")
    ('Getting started', 'Install the package first.')
    >>> split_heading("This is a sentence.\nIt goes on in the next line.")
    """
    line, _, rest = text.strip().partition("\n")
    heading, rest = line.lstrip("#").strip(), rest.strip()
    words = len(heading.split())
    if not 0 < words <= _MOST_WORDS or heading.endswith(_FINAL) or len(rest.split()) <= words:
        return None
    return heading, rest


def split_of(title: str) -> str:
    """The split that a title belongs to; the same in every sample."""
    digest = xxhash.xxh64_intdigest(title.encode("utf-8", "surrogatepass"))
    return TENTHS[digest % len(TENTHS)]


def write_titles(sample: TitledSample, titles: Path, teaching: Path) -> None:
    """Writes a sample as collections to train on; identifiers are positions in the sample.

    Args:
        sample: Documents and titles.
        titles: Folder of a collection of all documents, without titles; its queries are the
            titles, in the splits ``train``, ``dev`` and ``check``.
        teaching: Folder of the documents that no query of ``dev`` and ``check`` asks for, titles
            included.
    """
    queries = {numbers[0]: title for title, numbers in sample.titles.items()}
    qrels: dict[str, list[tuple[int, int]]] = {split: [] for split in TENTHS}
    for title, numbers in sample.titles.items():
        qrels[split_of(title)] += [(numbers[0], number) for number in numbers]
    write_collection(titles, [document.text for document in sample.documents], queries, qrels)
    _write_lines(
        teaching / "corpus.jsonl",
        (
            {"_id": str(number), "title": d.title, "text": d.text}
            for number, d in enumerate(sample.documents)
            if not d.title or split_of(d.title) == "train"
        ),
    )


def write_collection(
    folder: Path,
    texts: Sequence[str],
    queries: Mapping[int, str],
    qrels: Mapping[str, Iterable[tuple[int, int]]],
) -> None:
    """Writes a folder in BEIR layout.

    Args:
        folder: Made if it is not there.
        texts: Of the documents, whose identifiers are their positions.
        queries: Texts by identifier.
        qrels: By split, which query a document is relevant to: pairs of both identifiers.
    """
    _write_lines(
        folder / "corpus.jsonl",
        ({"_id": str(number), "text": text} for number, text in enumerate(texts)),
    )
    _write_lines(
        folder / "queries.jsonl",
        ({"_id": str(number), "text": text} for number, text in queries.items()),
    )
    (folder / "qrels").mkdir(exist_ok=True)
    for split, pairs in qrels.items():
        lines = ["query-id\tcorpus-id\tscore", *(f"{q}\t{d}\t1" for q, d in pairs)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_queries(queries: Sequence[str], folder: Path) -> None:
    """Writes queries beside a corpus; nobody says what they should find."""
    _write_lines(
        folder / "queries.jsonl",
        ({"_id": str(number), "text": query} for number, query in enumerate(queries)),
    )


def _write_lines(path: Path, records: Iterable[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")
