"""Whether the kernel finds the rows and scores of brute force, bit for bit, on 10,000 cases.

    python -m benchmarks.engine.exactness --work WORK -o benchmarks/results/exactness.json

Half of the cases ask random questions of random rows, half real questions of rows of a prepared
data set. A *collection* is laid out in one of the forms of ``benchmarks.engine.invariance``, in
windows of some size, in order of arrival, bisected or shuffled; then every kind of case
(``KINDS``) is asked of it in turn, on one thread or two. Brute force never sees a layout: it adds
up the rows in 64-bit integers, leaves out what is excluded or not above the threshold, and sorts.

The same seed gives the same cases. Ends with status 1 at the first difference.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.engine.invariance import FORMS
from benchmarks.engine.oracle import best
from benchmarks.reporting import write_result
from indexer.format.postings import WINDOW_BITS, ImpactRows, Postings, build_postings
from indexer.reorder import bisected_order, inverse, reordered
from kernels.cpu import inversion
from kernels.cpu.search import LARGEST_SCORE, SearchWork, search_postings
from retriever.query import QueryTerm, integer_query

CASES_PER_LAYOUT = 24
UNKNOWN = 4
"""Dimensions of random collections that no row has."""

SIZES = (
    (1, 1, 1, (6, WINDOW_BITS)),
    (11, 2, 700, (6, 7, 8, 9)),
    (4, 2_000, 9_000, (6, 8, 10, WINDOW_BITS)),
    (4, 20_000, 40_000, (9, WINDOW_BITS, WINDOW_BITS, 16)),
)
"""Of 20 layouts how many; fewest and most rows, and log2 of the rows of a window."""

KS = (1, 2, 10, 100, 101, 150, 1000)

Random = np.random.Generator

FORM_NAMES = ("mixed", "rare", "windows", "columns")


@dataclass(frozen=True)
class Query:
    """What is asked of a collection.

    Attributes:
        terms: Weights by dimension.
        k: Most rows.
        threshold: Only scores above it count.
        alive: uint8 per row in order of arrival, 0 excludes; ``None`` excludes none.
    """

    terms: Mapping[int, int]
    k: int
    threshold: int = 0
    alive: NDArray[np.uint8] | None = None


class Collection:
    """Rows in order of arrival, and questions about them."""

    def __init__(self, rows: ImpactRows, ask: Callable[[Random], Query]) -> None:
        self.rows = rows
        self.ask = ask
        self.count = len(rows.indptr) - 1
        shape = (self.count, rows.dimension_count)
        matrix = sp.csr_matrix((rows.impacts, rows.dimensions.astype(np.int32), rows.indptr), shape)
        self._columns = matrix.tocsc()
        self.doc_freq = np.diff(self._columns.indptr)

    def scores(self, query: Query) -> NDArray[np.int64]:
        """int64 per row, by brute force; 0 for those that are left out."""
        scores = np.zeros(self.count, dtype=np.int64)
        starts = self._columns.indptr
        for dimension, weight in query.terms.items():
            one = slice(starts[dimension], starts[dimension + 1])
            scores[self._columns.indices[one]] += np.int64(weight) * self._columns.data[one]
        scores[scores <= query.threshold] = 0
        if query.alive is not None:
            scores[query.alive == 0] = 0
        return scores


Hits = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Scores and rows, best first."""


@dataclass(frozen=True)
class Layout:
    """A collection as the kernel reads it."""

    collection: Collection
    source: str
    form: str
    window_bits: int
    order: str
    postings: Postings
    row_arrival: NDArray[np.uint32]
    row_of_arrival: NDArray[np.uint32]

    def __str__(self) -> str:
        return (
            f"{self.collection.count} {self.source} rows, windows of 2^{self.window_bits}, "
            f"form {self.form!r}, order {self.order!r}"
        )

    def expected(self, query: Query) -> tuple[Hits, bool]:
        """What brute force finds, and whether the next row has the score of the last."""
        scores = self.collection.scores(query)
        arrivals = best(scores, query.k)
        last = scores[arrivals[-1]] if len(arrivals) else LARGEST_SCORE + 1
        tied = bool(np.count_nonzero(scores >= last) > len(arrivals))
        return (scores[arrivals], self.row_of_arrival[arrivals].astype(np.int64)), tied

    def found(self, query: Query, threads: int, work: SearchWork) -> Hits:
        """What the kernel finds."""
        natural = self.order == "arrival"
        return search_postings(
            self.postings,
            np.array(list(query.terms), dtype=np.int64),
            np.array(list(query.terms.values()), dtype=np.int64),
            query.k,
            None if query.alive is None else query.alive[self.row_arrival],
            query.threshold,
            None if natural else self.row_arrival,
            None if natural else self.row_of_arrival,
            threads=threads,
            work=work,
        )


def difference(expected: Hits, found: Hits) -> str | None:
    """Where two answers part, if they do."""
    if all(map(np.array_equal, expected, found)):
        return None
    pairs = [list(zip(*map(np.ndarray.tolist, hits), strict=True)) for hits in (expected, found)]
    at = next(i for i, (one, other) in enumerate(zip_longest(*pairs)) if one != other)
    shown = [f"{len(hits)} hits, from {at} on {hits[at : at + 5]}" for hits in pairs]
    return f"(score, row) by brute force: {shown[0]}; by the kernel: {shown[1]}"


def _one_term(rng: Random, query: Query, collection: Collection) -> Query:
    return replace(query, terms=dict(list(query.terms.items())[:1]))


def _tie_at_k(rng: Random, query: Query, collection: Collection) -> Query:
    """Cuts where the next score is the same, as there are many with small weights."""
    query = replace(query, terms={term: int(rng.integers(1, 3)) for term in query.terms})
    scores = -np.sort(-collection.scores(query))
    ties = np.flatnonzero((scores[1:] == scores[:-1]) & (scores[1:] > 0)) + 1
    return replace(query, k=int(rng.choice(ties))) if len(ties) else query


def _no_terms(rng: Random, query: Query, collection: Collection) -> Query:
    return replace(query, terms={})


def _unknown_terms(rng: Random, query: Query, collection: Collection) -> Query:
    """Terms that no row has, alone or among others."""
    unknown = np.flatnonzero(collection.doc_freq == 0)[:UNKNOWN].tolist()
    known = query.terms if rng.random() < 0.5 else {}
    terms = rng.permutation(list({*unknown, *known})).tolist()
    return replace(query, terms={term: known.get(term, 7) for term in terms})


def _more_than_rows(rng: Random, query: Query, collection: Collection) -> Query:
    return replace(query, k=collection.count + int(rng.choice([0, 1, 1000, 10**9])))


def _maximal_terms(rng: Random, query: Query, collection: Collection) -> Query:
    """Up to hundreds of terms, whose weights are the largest that there may be."""
    known = np.flatnonzero(collection.doc_freq > 0)
    terms = rng.permutation(known)[: rng.integers(20, 400)].tolist()
    return replace(query, terms=dict.fromkeys(terms, LARGEST_SCORE // 255 // max(1, len(terms))))


def _alive(rng: Random, query: Query, collection: Collection, shares: Sequence[float]) -> Query:
    """Leaves a share of the rows: some here and there, or a run of them."""
    share = rng.choice(shares)
    alive = rng.random(collection.count) < share
    if rng.random() < 0.5:
        first = int(rng.integers(collection.count))
        alive[:] = False
        alive[first : first + int(np.ceil(share * collection.count))] = True
    return replace(query, alive=alive.astype(np.uint8))


def _threshold(rng: Random, query: Query, collection: Collection) -> Query:
    """Just below, at, or just above a score that there is, or above all of them."""
    scores = np.unique(collection.scores(query))
    score = int(scores[-1] if rng.random() < 0.2 else rng.choice(scores))
    return replace(query, threshold=max(0, score + int(rng.integers(-1, 2))))


def _everything(rng: Random, query: Query, collection: Collection) -> Query:
    """Exclusion, a threshold and a tie at once."""
    query = _alive(rng, query, collection, (0.02, 0.5, 0.9))
    return _threshold(rng, _tie_at_k(rng, query, collection), collection)


KINDS: Mapping[str, Callable[[Random, Query, Collection], Query]] = {
    "plain": lambda rng, query, collection: query,
    "single term": _one_term,
    "tie at k": _tie_at_k,
    "no terms": _no_terms,
    "unknown terms": _unknown_terms,
    "k of all rows and more": _more_than_rows,
    "many maximal terms": _maximal_terms,
    "filter": partial(_alive, shares=(0.001, 0.02, 0.3)),
    "deletions": partial(_alive, shares=(0.6, 0.9, 0.99)),
    "all excluded": partial(_alive, shares=(0.0,)),
    "threshold": _threshold,
    "filter, threshold and tie": _everything,
}


def random_collection(rng: Random, count: int) -> Collection:
    """Rows whose dimensions range from ubiquitous to rare."""
    size = int(rng.choice([1, 8, 40, 200]))
    density = rng.random(size) ** rng.choice([1, 3, 6])
    present = rng.random((count, size)) < density
    indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64)
    dimensions = np.nonzero(present)[1].astype(np.uint32)
    low, high = ((1, 1), (1, 2), (1, 255), (255, 255))[rng.integers(4)]
    impacts = rng.integers(low, high + 1, len(dimensions)).astype(np.uint8)

    def ask(rng: Random) -> Query:
        asked = rng.permutation(size)[: rng.integers(1, 13)]
        weights = rng.integers(1, rng.choice([1, 3, 10_000]) + 1, len(asked))
        return Query(dict(zip(asked.tolist(), weights.tolist(), strict=True)), int(rng.choice(KS)))

    return Collection(ImpactRows(indptr, dimensions, impacts, size + UNKNOWN), ask)


class RealRows:
    """A prepared data set, of which collections are runs of neighbouring rows."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "rows.npz") as arrays:
            self._indptr, self._dimensions = arrays["indptr"], arrays["dimensions"]
            self._impacts = arrays["impacts"]
        self._size = json.loads((folder / "description.json").read_text())["dimensions"]
        questions = json.loads((folder / "standard.json").read_text())
        self._questions = list(zip(questions["dimensions"], questions["weights"], strict=True))

    def collection(self, rng: Random, count: int) -> Collection:
        """A run of rows and the questions of the data set."""
        total = len(self._indptr) - 1
        count = min(count, total)
        first = int(rng.integers(total - count + 1))
        indptr = self._indptr[first : first + count + 1]
        part = slice(indptr[0], indptr[-1])
        rows = ImpactRows(
            indptr - indptr[0], self._dimensions[part], self._impacts[part], self._size
        )
        return Collection(rows, self._ask)

    def _ask(self, rng: Random) -> Query:
        dimensions, weights = self._questions[rng.integers(len(self._questions))]
        terms = [QueryTerm("", "", weight, 1.0, ()) for weight in weights]
        integers = integer_query(terms).weights.tolist()
        return Query(dict(zip(dimensions, integers, strict=True)), int(rng.choice(KS)))


def lay_out(rng: Random, collection: Collection, source: str, window_bits: int) -> Layout:
    """A form and an order, taken at random."""
    form = str(rng.choice(FORM_NAMES))
    order = str(rng.choice(["arrival", "bisected", "shuffled"]))
    rows = collection.rows
    row_arrival = np.arange(collection.count, dtype=np.uint32)
    if order == "bisected":
        row_arrival = bisected_order([rows], 1 << 30).row_arrival
    elif order == "shuffled":
        row_arrival = rng.permutation(row_arrival)
    share, shortest = inversion.HEAD_SHARE, inversion.HEAD_MIN
    if collection.count < 2_000:  # too few for heads, from which thresholds follow under a filter
        share, shortest = 4, 1
    heads = patch.multiple(inversion, HEAD_SHARE=share, HEAD_MIN=shortest)
    with FORMS[form].patched(), heads:
        postings = build_postings([reordered(rows, row_arrival)], window_bits)
    return Layout(
        collection, source, form, window_bits, order, postings, row_arrival, inverse(row_arrival)
    )


def layouts(real: RealRows, seed: int, cases: int) -> Iterator[tuple[Random, Layout]]:
    """Layouts for so many cases, each with the random numbers for its own."""
    sizes = [size for size in SIZES for _ in range(size[0])]
    for number in range(-(-cases // CASES_PER_LAYOUT)):
        rng = np.random.default_rng([seed, number])
        _, fewest, most, bits = sizes[number // 2 % len(sizes)]
        count = int(rng.integers(fewest, most + 1))
        window_bits = int(rng.choice(bits))
        if rng.random() < 0.1 and count >> window_bits:
            count = count >> window_bits << window_bits  # else the last window is hardly ever full
        source = ("random", "real")[number % 2]
        make = random_collection if source == "random" else real.collection
        yield rng, lay_out(rng, make(rng, count), source, window_bits)


class DifferenceError(Exception):
    """The kernel does not find what brute force does."""


def check(real: RealRows, seed: int, cases: int) -> dict[str, Any]:
    """Asks all cases; returns how many there were of what.

    Raises:
        DifferenceError: An answer differs; the message describes the case.
    """
    counts: dict[str, Counter[Any]] = {}
    work = SearchWork()
    done = windows = 0
    for rng, layout in layouts(real, seed, cases):
        collection = layout.collection
        for number in range(min(CASES_PER_LAYOUT, cases - done)):
            kind = list(KINDS)[number % len(KINDS)]
            query = KINDS[kind](rng, collection.ask(rng), collection)
            threads = int(rng.integers(1, 3))
            expected, tied = layout.expected(query)
            different = difference(expected, layout.found(query, threads, work))
            done += 1
            if different:
                raise DifferenceError(
                    f"case {done} of seed {seed}, {kind!r}, on {threads} threads\n{layout}\n{query}"
                    f"\n{different}"
                )
            rows_left = collection.count % (1 << layout.window_bits)
            of_case = -(-collection.count >> layout.window_bits)
            windows += of_case
            described = {
                "kind": kind,
                "rows": layout.source,
                "one_document": collection.count == 1,
                "several_windows": of_case > 1,
                "last_window_full": rows_left == 0,
                "tied_at_k": tied,
                "form": layout.form,
                "order": layout.order,
                "window_bits": layout.window_bits,
                "threads": threads,
            }
            for name, value in described.items():
                counts.setdefault(name, Counter())[value] += 1
        print(f"{done} cases, the last of {layout}", flush=True)
    return {
        "cases": done,
        "seed": seed,
        **{name: dict(sorted(values.items())) for name, values in counts.items()},
        "windows": windows,
        "work": asdict(work),
    }


def main() -> None:
    """Prints and stores the counts; exits 1 where an answer differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of benchmarks.engine")
    parser.add_argument("--vectors", type=Path, help="another data set than WORK/flops07")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write the counts as JSON")
    options = parser.parse_args()
    real = RealRows(options.vectors or options.work / "flops07")
    try:
        result = check(real, options.seed, options.cases)
    except DifferenceError as error:
        sys.exit(str(error))
    print(json.dumps(result, indent=1))
    write_result(options.output, result)


if __name__ == "__main__":
    main()
