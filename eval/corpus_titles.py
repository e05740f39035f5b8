"""Collections with judgements from documents that have none: a title asks for its documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import xxhash

from encoders.base import Document

TENTHS = ("dev", "check", *["train"] * 8)
"""Splits of the titles, by their hashes."""


def by_title(documents: Sequence[Document]) -> dict[str, list[int]]:
    """Positions of the documents of each title: parts of one text may share theirs.

    >>> by_title([Document("a", "x", title="T"), Document("b", "y"), Document("c", "z", title="T")])
    {'T': [0, 2]}
    """
    found: dict[str, list[int]] = {}
    for number, document in enumerate(documents):
        if document.title:
            found.setdefault(document.title, []).append(number)
    return found


def write_titles(sample: Sequence[Document], titles: Path, sentences: Path) -> None:
    """Writes a sample as collections to train on; identifiers are positions in the sample.

    Args:
        sample: Documents.
        titles: Folder of a collection of all documents, without titles; its queries are the
            titles, in the splits ``train``, ``dev`` and ``check``.
        sentences: Folder of the documents that no query of ``dev`` and ``check`` asks for, titles
            included.
    """
    titled = by_title(sample)
    split_of = {title: TENTHS[_hash(title) % len(TENTHS)] for title in titled}
    _write_lines(
        titles / "corpus.jsonl",
        ({"_id": str(number), "text": d.text} for number, d in enumerate(sample)),
    )
    _write_lines(
        titles / "queries.jsonl",
        ({"_id": str(numbers[0]), "text": title} for title, numbers in titled.items()),
    )
    (titles / "qrels").mkdir(exist_ok=True)
    for split in dict.fromkeys(TENTHS):
        lines = ["query-id\tcorpus-id\tscore"]
        for title, numbers in titled.items():
            if split_of[title] == split:
                lines += [f"{numbers[0]}\t{number}\t1" for number in numbers]
        (titles / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_lines(
        sentences / "corpus.jsonl",
        (
            {"_id": str(number), "title": d.title, "text": d.text}
            for number, d in enumerate(sample)
            if not d.title or split_of[d.title] == "train"
        ),
    )


def _write_lines(path: Path, records: Iterable[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def _hash(text: str) -> int:
    return xxhash.xxh64_intdigest(text.encode("utf-8", "surrogatepass"))
