"""Pruning keeps what its definition says, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.base import SparseRows
from encoders.errors import EncoderError
from encoders.pruning import Pruning

ROWS = SparseRows.from_rows(
    [{1: 4.0, 2: 0.4, 5: 2.0}, {}, {0: 1.0}, {3: 1.0, 4: 1.0, 7: 1.0, 9: 1.0}, {}]
)


def as_lists(rows: SparseRows) -> list[list[int]]:
    return [rows.dimensions[rows.indptr[i] : rows.indptr[i + 1]].tolist() for i in range(len(rows))]


@pytest.mark.parametrize(
    ("pruning", "expected"),
    [
        ("none", [[1, 2, 5], [], [0], [3, 4, 7, 9], []]),
        ("max_ratio:0.5", [[1], [], [0], [3, 4, 7, 9], []]),
        ("max_ratio:0.1", [[1, 5], [], [0], [3, 4, 7, 9], []]),
        ("max_ratio:0", [[1, 2, 5], [], [0], [3, 4, 7, 9], []]),
        ("top_k:2", [[1, 5], [], [0], [3, 4], []]),
        ("alpha_mass:0.95", [[1, 5], [], [0], [3, 4, 7], []]),
        ("alpha_mass:0.5", [[1], [], [0], [3, 4], []]),
        ("abs_value:1", [[1, 5], [], [0], [3, 4, 7, 9], []]),
        ("abs_value:1.5", [[1, 5], [], [], [], []]),
    ],
)
def test_what_stays(pruning, expected):
    kept = Pruning.parse(pruning).apply(ROWS)
    assert as_lists(kept) == expected
    assert kept.indptr.dtype == np.int64
    assert str(Pruning.parse(pruning)) == pruning


@given(st.floats(0, 1, exclude_max=True))
def test_its_text_keeps_every_digit(value):
    for pruning in (Pruning("max_ratio", value), Pruning("abs_value", value * 1e9)):
        assert Pruning.parse(str(pruning)) == pruning


def test_its_text_is_short_where_that_says_it_all():
    assert str(Pruning("top_k", 200)) == "top_k:200"
    assert str(Pruning("top_k", 1_234_567)) == "top_k:1234567"
    assert str(Pruning("max_ratio", 0.1)) == "max_ratio:0.1"
    assert str(Pruning("max_ratio", 0.123456789)) == "max_ratio:0.123456789"


weights = st.floats(min_value=2**-10, max_value=8, width=32)
matrices = st.lists(st.dictionaries(st.integers(0, 30), weights, max_size=12), max_size=6)


@given(matrices, st.sampled_from(["max_ratio", "top_k", "alpha_mass", "abs_value"]), st.data())
def test_equals_the_definition(matrix, kind, data):
    value = data.draw(
        st.integers(1, 14) if kind == "top_k" else st.floats(0.01, 0.99, allow_nan=False)
    )
    rows = SparseRows.from_rows(matrix)
    kept = Pruning(kind, value).apply(rows)
    assert len(kept) == len(rows)
    for row, found in zip(matrix, as_lists(kept), strict=True):
        ranked = sorted(row, key=lambda d: (-np.float32(row[d]), d))
        if kind == "max_ratio":
            limit = np.float32(value) * np.float32(max(row.values(), default=0))
            expected = [d for d in row if np.float32(row[d]) > limit]
        elif kind == "abs_value":
            expected = [d for d in row if np.float32(row[d]) >= np.float32(value)]
        elif kind == "top_k":
            expected = ranked[:value]
        else:
            sums = np.cumsum([float(np.float32(row[d])) for d in ranked])
            exact = sums[-1] * value if len(sums) else 0
            if np.isclose(sums, exact, rtol=1e-9).any():
                continue
            expected = [d for i, d in enumerate(ranked) if i == 0 or sums[i] <= exact]
        assert found == sorted(expected)


@pytest.mark.parametrize(
    "text",
    ["", "max_ratio", "top_k:0", "top_k:1.5", "top_k:inf", "max_ratio:1", "max_ratio:-0.1",
     "alpha_mass:0", "alpha_mass:1", "abs_value:-1", "abs_value:nan", "half:2", "none:3x",
     "max_ratio:0,1"],
)  # fmt: skip
def test_bad_pruning_is_refused(text):
    with pytest.raises(EncoderError, match="prun"):
        Pruning.parse(text)
