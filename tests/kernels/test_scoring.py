"""The scoring kernel equals brute force over the stored impacts, bit for bit."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.format import postings as layout
from indexer.format.postings import WINDOW_BITS, ImpactRows, Postings, build_postings
from kernels import reference
from kernels.cpu import inversion, scoring
from kernels.cpu.lookup import score_rows
from kernels.cpu.scoring import CANDIDATE_COST, HIT_COST, VISIT_COST
from kernels.cpu.search import (
    LARGEST_SCORE,
    Approximation,
    SearchWork,
    _scratch_of,
    search_postings,
)


def random_rows(
    rng: np.random.Generator, rows: int, vocabulary: int, top: int, exponent: int = 3
) -> ImpactRows:
    """Rows whose dimensions range from ubiquitous to rare."""
    density = rng.random(vocabulary) ** exponent
    present = rng.random((rows, vocabulary)) < density
    indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64)
    dimensions = np.nonzero(present)[1].astype(np.uint32)
    impacts = rng.integers(1, top + 1, len(dimensions)).astype(np.uint8)
    return ImpactRows(indptr, dimensions, impacts, vocabulary)


def run_kernel(
    postings: Postings,
    query: dict[int, int],
    k: int,
    alive: np.ndarray | None = None,
    threshold: int = 0,
    **options,
) -> list[tuple[int, int]]:
    scores, rows = search_postings(
        postings,
        np.array(list(query), dtype=np.int64),
        np.array(list(query.values()), dtype=np.int64),
        k,
        alive,
        threshold,
        **options,
    )
    accumulator = _scratch_of(postings.window_bits).accumulator
    assert not accumulator.any(), "scratch memory must be left clean"
    return list(zip(scores.tolist(), rows.tolist(), strict=True))


def expected(
    rows: ImpactRows,
    query: dict[int, int],
    k: int,
    alive: np.ndarray | None = None,
    threshold: int = 0,
) -> list[tuple[int, int]]:
    scores = reference.score_rows(rows.indptr, rows.dimensions, rows.impacts, query)
    return reference.top_k(scores, k, alive, threshold)


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 700),
    window_bits=st.integers(6, 9),
    top=st.sampled_from([1, 2, 255]),
    k=st.sampled_from([1, 2, 10, 100, 101, 150, 5000]),
    terms=st.integers(1, 12),
    most=st.sampled_from([1, 3, 10_000]),
    threshold=st.sampled_from([0, 1, 50, 1000]),
    rare_factor=st.sampled_from([0, 1, 8, 10**9]),
    dense_fraction=st.sampled_from([0.0, 0.05, 0.5, 2.0]),
    head_share=st.sampled_from([1, 4, 10**6]),
    live=st.sampled_from([None, 0.0, 0.02, 0.6, 1.0]),
    reordered=st.booleans(),
    threads=st.sampled_from([1, 1, 2, 3]),
)
def test_equals_brute_force(
    seed, rows, window_bits, top, k, terms, most, threshold, rare_factor, dense_fraction,
    head_share, live, reordered, threads,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    data = random_rows(rng, rows, 40, top)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "RARE_FACTOR", rare_factor)
        patch.setattr(layout, "DENSE_FRACTION", dense_fraction)
        patch.setattr(inversion, "HEAD_SHARE", head_share)
        patch.setattr(inversion, "HEAD_MIN", 1)
        postings = build_postings([data], window_bits)
    query = {int(d): int(rng.integers(1, most + 1)) for d in rng.choice(40, terms, replace=False)}
    check_brute_force(rng, data, postings, query, k, threshold, live, reordered, threads)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(20_000, 40_000),
    top=st.sampled_from([2, 255]),
    k=st.sampled_from([1, 10, 101, 1000]),
    terms=st.integers(1, 12),
    most=st.sampled_from([1, 10_000]),
    threshold=st.sampled_from([0, 1000]),
    live=st.sampled_from([None, 0.02, 0.9]),
    reordered=st.booleans(),
    threads=st.sampled_from([1, 2]),
)
def test_equals_brute_force_in_windows_of_an_index(
    seed, rows, top, k, terms, most, threshold, live, reordered, threads
):
    """Several windows of the size and with the forms that indexes have, and rare terms."""
    rng = np.random.default_rng(seed)
    data = random_rows(rng, rows, 30, top, exponent=9)
    postings = build_postings([data])
    assert postings.window_bits == WINDOW_BITS
    query = {int(d): int(rng.integers(1, most + 1)) for d in rng.choice(30, terms, replace=False)}
    check_brute_force(rng, data, postings, query, k, threshold, live, reordered, threads)


def check_brute_force(rng, data, postings, query, k, threshold, live, reordered, threads):
    """One query, among the share ``live`` of the rows, which arrived in another order or not."""
    rows = postings.row_count
    alive = None if live is None else (rng.random(rows) < live).astype(np.uint8)
    options = {"threads": threads}
    scores = reference.score_rows(data.indptr, data.dimensions, data.impacts, query)
    if not reordered:
        truth = reference.top_k(scores, k, alive, threshold)
    else:
        order = rng.permutation(rows).astype(np.uint32)  # position of arrival -> row
        arrival = np.argsort(order).astype(np.uint32)
        options |= {"arrival": arrival, "row_of_arrival": order}
        by_arrival = reference.top_k(
            scores[order], k, None if alive is None else alive[order], threshold
        )
        truth = [(score, int(order[position])) for score, position in by_arrival]
    assert run_kernel(postings, query, k, alive, threshold, **options) == truth


@pytest.mark.parametrize(
    "approximation", [{"clip": 20}, {"window_budget": 2}, {"posting_budget": 90}]
)
def test_approximate_hits_have_their_exact_scores(approximation):
    """What is found is right and in order; only what was left out is missing."""
    rng = np.random.default_rng(3)
    data = random_rows(rng, 700, 40, 255)
    postings = build_postings([data], 6)
    for _ in range(40):
        query = {int(d): int(rng.integers(1, 9)) for d in rng.choice(40, 5, replace=False)}
        truth = dict(map(reversed, expected(data, query, 700)))
        found = run_kernel(postings, query, 10, approximation=Approximation(**approximation))
        assert found == sorted(found, key=lambda pair: (-pair[0], pair[1]))
        assert all(truth[row] == score for score, row in found)


def test_limits_that_do_not_bind_are_exact():
    rng = np.random.default_rng(4)
    data = random_rows(rng, 700, 40, 3)
    postings = build_postings([data], 6)
    wide = Approximation(window_budget=1000, posting_budget=10**9)
    for _ in range(40):
        query = {int(d): int(rng.integers(1, 9)) for d in rng.choice(40, 5, replace=False)}
        found = run_kernel(postings, query, 30, approximation=wide)
        assert found == expected(data, query, 30)


def most_of_a_window(rows: int, terms: int) -> int:
    """The most that one window costs: every row has every term, and is kept."""
    return terms * (rows + VISIT_COST) + rows * (CANDIDATE_COST + HIT_COST)


def test_a_budget_bounds_the_postings_that_are_touched():
    rng = np.random.default_rng(5)
    data = random_rows(rng, 3000, 40, 255)
    postings = build_postings([data], 6)
    query = dict.fromkeys(range(40), 1)
    work, limited = SearchWork(), SearchWork()
    run_kernel(postings, query, 100, work=work)
    budget = work.cost // 4
    approximation = Approximation(posting_budget=budget)
    run_kernel(postings, query, 100, approximation=approximation, work=limited)
    assert budget <= limited.cost <= budget + most_of_a_window(64, len(query))
    assert limited.windows < work.windows


def test_a_budget_counts_look_ups_of_a_filter():
    rng = np.random.default_rng(6)
    data = random_rows(rng, 3000, 40, 255)
    postings = build_postings([data], 6)
    query = dict.fromkeys(range(40), 1)
    alive = np.zeros(3000, np.uint8)
    alive[::64] = 1  # one row of each window
    limited = SearchWork()
    approximation = Approximation(posting_budget=8000)
    found = run_kernel(postings, query, 30, alive, approximation=approximation, work=limited)
    assert 8000 <= limited.cost <= 8000 + most_of_a_window(64, len(query))
    assert 0 < len(found) < 30


def test_a_budget_holds_whatever_the_threads():
    rng = np.random.default_rng(5)
    data = random_rows(rng, 3000, 40, 255)
    postings = build_postings([data], 6)
    query = dict.fromkeys(range(40), 1)
    approximation = Approximation(posting_budget=1000, window_budget=9)
    alone = run_kernel(postings, query, 50, approximation=approximation)
    assert run_kernel(postings, query, 50, approximation=approximation, threads=4) == alone


def test_what_a_segment_leaves_of_a_budget_is_for_those_after_it():
    limits = Approximation(window_budget=10, posting_budget=1000)
    assert limits.share(0.5, SearchWork()) == Approximation(255, 5, 500)
    assert limits.share(1, SearchWork(windows=2, postings=100)) == Approximation(255, 8, 900)
    assert limits.share(1, SearchWork(windows=20, postings=3000)) == Approximation(255, 1, 1)


@pytest.mark.parametrize("k", [np.uint8(200), np.int8(100), np.uint64(150), 150])
def test_numbers_of_numpy_do_not_wrap_around(k):
    rng = np.random.default_rng(8)
    data = random_rows(rng, 700, 40, 3)
    query = {1: 2, 5: 7, 30: 1}
    found = run_kernel(build_postings([data], 6), query, k, threshold=np.uint8(3))
    assert found == expected(data, query, int(k), threshold=3)


@pytest.mark.parametrize("argument", ["alive", "arrival"])
def test_arrays_of_another_length_are_refused(argument):
    data = random_rows(np.random.default_rng(9), 70, 40, 3)
    short = {argument: np.ones(69, np.uint8 if argument == "alive" else np.uint32)}
    with pytest.raises(ValueError, match="must have 70 values"):
        run_kernel(build_postings([data], 6), {1: 2}, 10, **short)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_threads_search_after_a_fork():
    data = random_rows(np.random.default_rng(10), 700, 40, 3)
    postings = build_postings([data], 6)
    query = {1: 2, 5: 7, 0: 1}
    here = run_kernel(postings, query, 10, threads=2)
    process = multiprocessing.get_context("fork").Process(
        target=_exit_if_equal, args=(postings, query, here)
    )
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 7


def _exit_if_equal(postings: Postings, query: dict[int, int], wanted: list) -> None:
    os._exit(7 if run_kernel(postings, query, 10, threads=2) == wanted else 1)


@pytest.mark.parametrize("wrong", [{"clip": 0}, {"clip": 256}, {"window_budget": -1}])
def test_limits_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="between 1 and 255"):
        Approximation(**wrong)


def test_rare_terms_touch_their_postings_only():
    """A query of rare terms visits no window."""
    indptr = np.array([0, *np.repeat(np.arange(1, 11), 500)])
    data = ImpactRows(indptr, np.arange(10, dtype=np.uint32), np.full(10, 9, np.uint8), 10)
    postings = build_postings([data], 6)
    work = SearchWork()
    assert run_kernel(postings, {3: 2, 7: 1}, 10, work=work) == [(18, 1500), (9, 3500)]
    assert (work.windows, work.postings) == (0, 2)


def test_rare_terms_beside_others_count_as_one():
    """Windows are bounded by the largest sum in them, not by the sum of the largest impacts."""
    rows = [[0] for _ in range(8 * 64)]
    for window in range(8):  # every rare term once in every window, each in its own row
        for term in (1, 2, 3):
            rows[64 * window + term].append(term)
    rows[64 + 1] = [0, 1, 2]
    rows[64 + 2] = [0]
    indptr = np.cumsum([0, *map(len, rows)])
    data = ImpactRows(
        indptr, np.concatenate(rows).astype(np.uint32), np.full(indptr[-1], 9, np.uint8), 4
    )
    postings = build_postings([data], 6)
    query = dict.fromkeys(range(4), 1)
    work = SearchWork()
    found = run_kernel(postings, query, 1, work=work)
    assert found == expected(data, query, 1) == [(27, 65)]
    assert work.windows == 2  # 27 beats the 9 + 9 of all other windows, but not 9 + 3 * 9


def test_scores_of_rows_equal_brute_force():
    rng = np.random.default_rng(7)
    data = random_rows(rng, 700, 40, 255)
    postings = build_postings([data], 6)
    query = {3: 7, 0: 2, 39: 1, 20: 11}
    truth = reference.score_rows(data.indptr, data.dimensions, data.impacts, query)
    rows = rng.permutation(700)
    dimensions = np.array([*query, -1])
    found = score_rows(postings.layout, dimensions, np.array([*query.values(), 5.0]), rows)
    assert found.tolist() == truth[rows].tolist()


def test_the_digest_of_the_helpers_is_kept():
    """Numba looks at the file of a cached kernel only: HELPERS makes it a change of that file."""
    folder = Path(scoring.__file__).parent
    names = ["accumulation", "bounds", "candidates", "heap", "layout", "rare", "windows"]
    content = b"".join((folder / f"{name}.py").read_bytes() for name in names)
    assert xxhash.xxh3_64_hexdigest(content) == scoring.HELPERS, "set HELPERS to the left value"


def test_largest_weights_do_not_wrap():
    """Many terms of maximal impact and weight reach 2^31, the largest score of a query."""
    terms = 200
    data = ImpactRows(
        np.array([0, terms], dtype=np.int64),
        np.arange(terms, dtype=np.uint32),
        np.full(terms, 255, dtype=np.uint8),
        terms,
    )
    weight = LARGEST_SCORE // 255 // terms
    query = dict.fromkeys(range(terms), weight)
    assert run_kernel(build_postings([data]), query, 3) == [(weight * terms * 255, 0)]


def test_ties_go_to_the_lower_row_in_every_window():
    """All rows score the same: the first k rows win, whatever window they are in."""
    rows = 1000
    data = ImpactRows(
        np.arange(rows + 1, dtype=np.int64),
        np.zeros(rows, dtype=np.uint32),
        np.full(rows, 7, dtype=np.uint8),
        1,
    )
    found = run_kernel(build_postings([data], 6), {0: 3}, 70)
    assert found == [(21, row) for row in range(70)]


def test_all_rows_excluded():
    data = random_rows(np.random.default_rng(0), 300, 20, 255)
    alive = np.zeros(300, dtype=np.uint8)
    assert run_kernel(build_postings([data], 6), {1: 1, 2: 2}, 10, alive) == []


def test_parts_lie_side_by_side():
    """Two parts in one set of postings score like the sum of both alone."""
    rng = np.random.default_rng(5)
    first, second = random_rows(rng, 500, 30, 255), random_rows(rng, 500, 20, 255)
    both = build_postings([first, second], 7)
    scores = reference.score_rows(
        first.indptr, first.dimensions, first.impacts, {3: 2, 4: 1}
    ) + reference.score_rows(second.indptr, second.dimensions, second.impacts, {0: 5, 19: 3})
    query = {3: 2, 4: 1, 30: 5, 49: 3}
    assert run_kernel(both, query, 50) == reference.top_k(scores, 50)
