"""Inverse document frequency: the query weight of a term."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def idf(row_count: int, doc_freq: ArrayLike) -> NDArray[np.float32]:
    """Weight of terms by their rarity: ``ln(1 + (N - df + 0.5) / (df + 0.5))``.

    The probabilistic idf of Robertson and Sparck Jones with the 1 inside the logarithm that
    Lucene's BM25Similarity uses, so that it is positive for every df <= N. The published
    ``idf.json`` of OpenSearch's document models is this formula over the MS MARCO passages.

    Args:
        row_count: N, the number of rows (passages) in the collection.
        doc_freq: df, in how many rows each term occurs; any shape, 0 <= df <= N.

    Returns:
        float32 array of the shape of ``doc_freq``.

    Raises:
        ValueError: A frequency is negative or above ``row_count``.

    >>> round(float(idf(8_841_823, 8_580)), 5)
    6.93776
    """
    frequencies = np.asarray(doc_freq, dtype=np.float64)
    if frequencies.size and not (frequencies.min() >= 0 and frequencies.max() <= row_count):
        raise ValueError(
            f"document frequencies must lie between 0 and row_count={row_count}, got "
            f"{frequencies.min():g} to {frequencies.max():g}."
        )
    ratio = (row_count - frequencies + 0.5) / (frequencies + 0.5)
    return np.log1p(ratio).astype(np.float32)
