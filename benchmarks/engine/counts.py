"""Counting the words of a collection once, for all that is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.query.analyzer import Analyzer

BATCH = 4096


@dataclass(frozen=True)
class Counts:
    """Term counts of every record over a vocabulary of the most frequent terms.

    Attributes:
        indptr: int64[N + 1].
        terms: uint32[nnz], ascending within a record; term 0 is the most frequent.
        counts: float32[nnz].
        vocabulary: The terms.
        ids: Identifiers of the records.
    """

    indptr: NDArray[np.int64]
    terms: NDArray[np.uint32]
    counts: NDArray[np.float32]
    vocabulary: list[str]
    ids: list[str]

    def doc_freq(self) -> NDArray[np.int64]:
        """int64[V]."""
        return np.bincount(self.terms, minlength=len(self.vocabulary))


def count_terms(texts: Iterable[tuple[str, str]], analyzer: Analyzer, size: int) -> Counts:
    """Counts the terms of (id, text) pairs and keeps the ``size`` with the highest df."""
    numbers: dict[str, int] = {}
    ids: list[str] = []
    lengths, terms, counts = [], [], []
    iterator = iter(texts)
    while batch := list(islice(iterator, BATCH)):
        ids.extend(doc_id for doc_id, _ in batch)
        rows = analyzer.count_batch([text for _, text in batch])
        found = [numbers.setdefault(term, len(numbers)) for term in rows.terms or ()]
        terms.append(np.array(found, dtype=np.uint32)[rows.dimensions])
        counts.append(rows.weights)
        lengths.append(np.diff(rows.indptr))
    owners = np.repeat(np.arange(len(ids)), np.concatenate(lengths))
    all_terms, all_counts = np.concatenate(terms), np.concatenate(counts)
    doc_freq = np.bincount(all_terms, minlength=len(numbers))
    best = np.argsort(-doc_freq, kind="stable")[:size]
    new_number = np.full(len(numbers), -1, dtype=np.int64)
    new_number[best] = np.arange(len(best))
    renumbered = new_number[all_terms]
    kept = renumbered >= 0
    owners, renumbered, all_counts = owners[kept], renumbered[kept], all_counts[kept]
    order = np.argsort(owners * len(best) + renumbered)
    indptr = np.searchsorted(owners, np.arange(len(ids) + 1)).astype(np.int64)
    names = list(numbers)
    return Counts(
        indptr,
        renumbered[order].astype(np.uint32),
        all_counts[order],
        [names[number] for number in best],
        ids,
    )


def save_counts(path: Path, counts: Counts) -> None:
    """Writes arrays as ``path`` and the names beside it."""
    np.savez(path, indptr=counts.indptr, terms=counts.terms, counts=counts.counts)
    names = {"vocabulary": counts.vocabulary, "ids": counts.ids}
    path.with_suffix(".json").write_text(json.dumps(names))


def load_counts(path: Path) -> Counts:
    """Reads what :func:`save_counts` wrote."""
    with np.load(path) as arrays:
        names = json.loads(path.with_suffix(".json").read_text())
        return Counts(
            arrays["indptr"],
            arrays["terms"],
            arrays["counts"],
            names["vocabulary"],
            names["ids"],
        )
