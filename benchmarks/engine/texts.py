"""The text behind the vectors: collections in natural order, and questions that people asked."""

from __future__ import annotations

import gzip
import json
import lzma
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

COLLECTIONS = ("wiki_passages", "arxiv_abstracts", "wordnet_synsets")
"""Read one after the other: 665k records in their natural order."""


def open_text(path: Path) -> IO[str]:
    """Opens a text file, compressed or not."""
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def read_texts(
    data: Path, collections: tuple[str, ...] = COLLECTIONS, window: int = 0
) -> Iterator[tuple[str, str]]:
    """(id, text) of every record, title first.

    Args:
        data: Folder of the collections.
        collections: Which of them, in this order.
        window: Cut records into runs of so many words, for more (and shorter) records; 0 leaves
            them whole. The title stands in front of every run.
    """
    for name in collections:
        (path,) = (data / name).glob("corpus.jsonl*")
        with open_text(path) as file:
            for line in file:
                record = json.loads(line)
                title, text = record.get("title", ""), record["text"]
                words = text.split() if window else []
                if len(words) <= window:
                    yield f"{name}/{record['_id']}", f"{title} {text}".strip()
                    continue
                runs = -(-len(words) // window)
                size = -(-len(words) // runs)
                for run in range(runs):
                    part = " ".join(words[run * size : (run + 1) * size])
                    yield f"{name}/{record['_id']}#{run}", f"{title} {part}".strip()


def read_questions(data: Path) -> dict[str, list[str]]:
    """Distinct questions by source, in a fixed random order.

    ``wiki`` are Natural Questions with a passage among ``wiki_passages``, ``nq_qed`` further
    ones, ``squad`` those that annotators wrote.
    """
    found = {"wiki": _lines(data / "wiki_passages" / "weak_pairs.jsonl", "query")}
    for name in ("nq_qed", "squad"):
        found[name] = _lines(data / name / "queries.jsonl.gz", "text")
    for number, questions in enumerate(found.values()):
        random.Random(number).shuffle(questions)
    return found


def standard_questions(questions: dict[str, list[str]], count: int) -> list[str]:
    """The first ``count`` questions, in turn from each source."""
    turns = zip(*questions.values(), strict=False)
    return list(islice((question for turn in turns for question in turn), count))


def tail_questions(questions: dict[str, list[str]], count: int) -> list[str]:
    """``count`` questions for the far tail: all of nq_qed, the rest of squad."""
    return (questions["nq_qed"] + questions["squad"][::-1])[:count]


def _lines(path: Path, key: str) -> list[str]:
    with open_text(path) as file:
        texts = (json.loads(line)[key].strip() for line in file)
        return list(dict.fromkeys(text for text in texts if text))
