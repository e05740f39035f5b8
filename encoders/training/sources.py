"""The kinds of training text: judged collections, titles, sentences, and others."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import xxhash
from pydantic import BaseModel, ConfigDict, Field

from encoders.training.errors import TrainingError
from encoders.training.inverse_cloze import take_sentence
from encoders.training.records import find_file, read_records

Kind = Literal["judged", "titles", "sentences", "weak-pairs", "triples", "unlabelled"]

_WEAK_POSITIVES = 2
_WEAK_NEGATIVES = 3


class Source(BaseModel):
    """Where some of the training text comes from.

    Attributes:
        name: Its name in the log.
        kind: ``judged``: a folder in BEIR layout, queries of a split with their relevant
            documents. ``titles``: the title is the query, the text the document. ``sentences``:
            one sentence is the query, title and the rest of the text the document (inverse
            cloze). ``weak-pairs``: ``weak_pairs.jsonl`` beside a corpus, records of query,
            ``pos`` and ``hard_neg``. ``triples``: a JSON lines file of ``query``, ``docs``
            (texts, the first one relevant) and, for distillation, ``scores``. ``unlabelled``:
            ``queries.jsonl`` beside a corpus, of which nobody knows what they should find; the
            teachers alone say how mined documents rank.
        path: The folder, or the file for ``triples``.
        split: Judgements of a ``judged`` source.
        documents: Most documents; chosen by a hash of their ids, so that they stay the same
            when a collection grows at its end.
        queries: Most queries, chosen in the same way.
        stride: Of ``titles``, ``sentences`` and ``unlabelled``: take every ``stride``-th record ...
        offset: ... from this one on. Another offset gives a slice with no document in common.
        distractors: Further documents of a ``judged`` source, relevant to none of the queries.
        held_back_share: Share of a ``judged`` source's queries that is held back from training.
        held_back: ``out`` leaves them out, ``only`` takes nothing else.
        weight: How often queries of this source are drawn, relative to the others'.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    kind: Kind
    path: Path
    split: str = "train"
    documents: int | None = Field(default=None, ge=2)
    queries: int | None = Field(default=None, ge=1)
    stride: int = Field(default=1, ge=1)
    offset: int = Field(default=0, ge=0)
    distractors: int = Field(default=0, ge=0)
    held_back_share: float = Field(default=0.0, ge=0, lt=1)
    held_back: Literal["out", "only"] = "out"
    weight: float = Field(default=1.0, ge=0)


@dataclass
class Examples:
    """Queries of one source with their documents.

    Attributes:
        documents: Texts as the encoder reads them.
        queries: Texts.
        positives: Per query, the numbers of its relevant documents; none where nobody knows them.
        negatives: Per query, numbers of documents that the source itself gives as not relevant.
        scores: Per query, a teacher's score by document, where the source gives it.
    """

    documents: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    positives: list[list[int]] = field(default_factory=list)
    negatives: list[list[int]] = field(default_factory=list)
    scores: list[dict[int, float]] = field(default_factory=list)

    def add(
        self,
        query: str,
        positives: list[int],
        negatives: list[int] | None = None,
        scores: dict[int, float] | None = None,
    ) -> None:
        """Appends one query."""
        self.queries.append(query)
        self.positives.append(positives)
        self.negatives.append(negatives or [])
        self.scores.append(scores or {})


def read_source(source: Source, excluded: frozenset[str] = frozenset()) -> Examples:
    """Reads a source.

    Args:
        source: What to read.
        excluded: Queries, as ``normalised`` gives them, that must not be trained on.

    Raises:
        TrainingError: A file is missing or damaged, or nothing is left to train on.
    """
    examples = _READERS[source.kind](source, excluded)
    if not examples.queries or len(examples.documents) < 2:
        raise TrainingError(
            f"source {source.name!r} ({source.kind} of {source.path}) gives "
            f"{len(examples.queries)} queries and {len(examples.documents)} documents; at least 1 "
            "and 2 are needed."
        )
    return examples


def excluded_queries(sources: Iterable[Source]) -> frozenset[str]:
    """The queries of some sources, normalised, so that training can leave them out.

    Collections overlap: questions of one stand in another under other ids.
    """
    return frozenset(normalised(query) for s in sources for query in read_source(s).queries)


def normalised(query: str) -> str:
    """A query for comparison: words in lower case.

    >>> normalised("Who  got the first Nobel prize?")
    'who got the first nobel prize'
    """
    return " ".join(re.findall(r"\w+", query.lower()))


def full_text(record: Mapping[str, object]) -> str:
    """Title and text, joined by one space."""
    title, text = str(record.get("title") or ""), str(record.get("text") or "")
    return f"{title} {text}".strip()


def _read_judged(source: Source, excluded: frozenset[str]) -> Examples:
    qrels = _read_qrels(source.path / "qrels" / f"{source.split}.tsv")
    texts = {
        str(r["_id"]): str(r["text"])
        for r in read_records(find_file(source.path, "queries.jsonl"))
        if str(r["_id"]) in qrels
    }
    limit = int(source.held_back_share * 2**64)
    chosen = [
        query_id
        for query_id in texts
        if (_hash(query_id) < limit) == (source.held_back == "only")
        and normalised(texts[query_id]) not in excluded
    ]
    relevant = {d for q in chosen for d in qrels[q]}
    kept = set(_first_by_hash(relevant, source.documents))
    answered = [q for q in chosen if any(d in kept for d in qrels[q])]
    wanted = _first_by_hash(answered, source.queries)
    if source.documents is None and source.queries is not None:
        kept = {d for q in wanted for d in qrels[q]}
    examples, numbers = Examples(), dict[str, int]()
    corpus = [
        (str(record["_id"]), full_text(record))
        for record in read_records(find_file(source.path, "corpus.jsonl"))
    ]
    others = _first_by_hash([d for d, _ in corpus if d not in relevant], source.distractors)
    kept |= set(others)
    for doc_id, text in corpus:
        if doc_id in kept and text:
            numbers[doc_id] = len(examples.documents)
            examples.documents.append(text)
    for query_id in wanted:
        positives = [numbers[d] for d in qrels[query_id] if d in numbers]
        if positives:
            examples.add(texts[query_id], positives)
    return examples


def _read_titles(source: Source, excluded: frozenset[str]) -> Examples:
    examples = Examples()
    for record in _slice(source):
        title, text = str(record.get("title") or ""), str(record.get("text") or "")
        if title and text and normalised(title) not in excluded:
            examples.add(title, [len(examples.documents)])
            examples.documents.append(text)
    return examples


def _read_sentences(source: Source, excluded: frozenset[str]) -> Examples:
    examples = Examples()
    for record in _slice(source):
        taken = take_sentence(str(record["_id"]), str(record.get("text") or ""))
        if taken is not None and normalised(taken[0]) not in excluded:
            examples.add(taken[0], [len(examples.documents)])
            examples.documents.append(full_text({**record, "text": taken[1]}))
    return examples


def _read_weak_pairs(source: Source, excluded: frozenset[str]) -> Examples:
    corpus = {
        str(record["_id"]): full_text(record)
        for record in read_records(find_file(source.path, "corpus.jsonl"))
    }
    examples, numbers = Examples(), dict[str, int]()
    pairs = list(read_records(find_file(source.path, "weak_pairs.jsonl")))
    by_id = {str(pair["_id"]): pair for pair in pairs}
    for query_id in _first_by_hash(by_id, source.queries):
        pair = by_id[query_id]
        # A positive is given as [id, rank in BM25's list].
        positives = [str(d) for d, _ in pair["pos"] if str(d) in corpus][:_WEAK_POSITIVES]
        negatives = [str(d) for d in pair["hard_neg"] if str(d) in corpus][:_WEAK_NEGATIVES]
        if not positives or normalised(str(pair["query"])) in excluded:
            continue
        new = [d for d in dict.fromkeys(positives + negatives) if d not in numbers]
        if source.documents is not None and len(numbers) + len(new) > source.documents:
            break
        for doc_id in new:
            numbers[doc_id] = len(examples.documents)
            examples.documents.append(corpus[doc_id])
        examples.add(
            str(pair["query"]),
            [numbers[d] for d in positives],
            [numbers[d] for d in negatives if d not in positives],
        )
    return examples


def _read_triples(source: Source, excluded: frozenset[str]) -> Examples:
    examples, numbers = Examples(), dict[str, int]()
    for record in islice(read_records(source.path), source.queries):
        query, texts = str(record["query"]), [str(text) for text in record["docs"]]
        if len(texts) < 2:
            raise TrainingError(f"{source.path}: the query {query!r} needs at least 2 docs.")
        if normalised(query) in excluded:
            continue
        for text in texts:
            if text not in numbers:
                numbers[text] = len(examples.documents)
                examples.documents.append(text)
        found = [numbers[text] for text in texts]
        given = record.get("scores")
        if given is not None and len(given) != len(found):
            raise TrainingError(
                f"{source.path}: the query {query!r} has {len(found)} docs and {len(given)} scores."
            )
        scores = dict(zip(found, map(float, given), strict=True)) if given is not None else None
        examples.add(query, found[:1], [d for d in found[1:] if d != found[0]], scores)
    return examples


def _read_unlabelled(source: Source, excluded: frozenset[str]) -> Examples:
    examples = Examples(documents=[text for r in _slice(source) if (text := full_text(r))])
    texts = {
        str(r["_id"]): str(r["text"])
        for r in read_records(find_file(source.path, "queries.jsonl"))
        if normalised(str(r["text"])) not in excluded
    }
    for query_id in _first_by_hash(texts, source.queries):
        examples.add(texts[query_id], [])
    return examples


_READERS: Mapping[Kind, Callable[[Source, frozenset[str]], Examples]] = {
    "judged": _read_judged,
    "titles": _read_titles,
    "sentences": _read_sentences,
    "weak-pairs": _read_weak_pairs,
    "triples": _read_triples,
    "unlabelled": _read_unlabelled,
}


def _slice(source: Source) -> Iterator[Mapping[str, object]]:
    records = read_records(find_file(source.path, "corpus.jsonl"))
    return islice(islice(records, source.offset, None, source.stride), source.documents)


def _hash(text: str) -> int:
    return xxhash.xxh64_intdigest(text.encode())


def _first_by_hash(ids: Iterable[str], limit: int | None) -> list[str]:
    """``limit`` of the ids in the order of their hashes; all of them for ``None``."""
    return sorted(ids, key=_hash)[:limit]


def _read_qrels(path: Path) -> dict[str, list[str]]:
    """Relevant documents by query."""
    if not path.is_file():
        raise TrainingError(f"{path} does not exist; give a split that has judgements.")
    qrels: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows, None)
        for row in rows:
            if float(row[2]) > 0:
                qrels.setdefault(row[0], []).append(row[1])
    return qrels
