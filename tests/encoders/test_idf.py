"""Inverse document frequency."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encoders.query.idf import idf

MS_MARCO_PASSAGES = 8_841_823


def test_published_weights_of_opensearch() -> None:
    # ml-commons asserts hello = 6.93775; idf.json has 15.58954 and 14.74224 for df 1 and 3.
    weights = idf(MS_MARCO_PASSAGES, [8_580, 1, 3])
    assert weights.dtype == np.float32
    assert weights.tolist() == pytest.approx([6.93776, 15.58954, 14.74224], abs=6e-6)


def test_published_table_has_whole_document_frequencies(shared_data: Path) -> None:
    path = shared_data / "query_side" / "opensearch_idf" / "idf.json"
    published = np.array([w for w in json.loads(path.read_text()).values() if w != 1.0])
    # Invert the formula: every published weight must belong to a whole number of passages.
    odds = np.expm1(published)
    doc_freq = np.round((MS_MARCO_PASSAGES + 1) / (odds + 1) - 0.5)
    assert doc_freq.min() == 1
    assert idf(MS_MARCO_PASSAGES, doc_freq) == pytest.approx(published, rel=1e-6, abs=1e-7)


def test_any_shape_and_scalars() -> None:
    assert idf(10, 3).shape == ()
    assert idf(10, [[0, 10]]).shape == (1, 2)
    assert (idf(10, np.arange(11)) > 0).all()
    assert idf(0, []).shape == (0,)


@pytest.mark.parametrize("doc_freq", [-1, 11, float("nan")])
def test_impossible_frequencies_are_refused(doc_freq: float) -> None:
    with pytest.raises(ValueError, match="between 0 and row_count=10"):
        idf(10, [1, doc_freq])
