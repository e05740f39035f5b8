"""Axes on which a network's vectors are those of a table of static vectors.

``encoders.dense_vectors`` reads documents by the network that a table was fitted to. The axes are
the orthonormal ones on which the network's vectors of queries have the largest dot products with
the table's, on the mean (as in the orthogonal Procrustes problem, Schönemann 1966). They need
nothing but the table, so that they can be found for one whose training is over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.static_vectors import StaticTable
from encoders.training.errors import TrainingError
from encoders.training.static_table import TokenCounts


def query_sums(table: StaticTable, queries: Sequence[TokenCounts]) -> NDArray[np.float32]:
    """float32[n, d] of norm 1: queries as ``kernels.cpu.vectors.pool_query`` sums them.

    >>> ones = np.ones(2, np.float32)
    >>> table = StaticTable(np.eye(2, dtype=np.int8), ones, ones, np.zeros(2, np.float32))
    >>> query_sums(table, [(np.array([1]), np.array([3.0], np.float32))]).tolist()
    [[0.0, 1.0]]
    """
    sums = np.empty((len(queries), table.vectors.shape[1]), dtype=np.float32)
    for total, (tokens, counts) in zip(sums, queries, strict=True):
        weights = table.query_weight[tokens] * (1 + np.log(counts))
        total[:] = weights @ table.vectors[tokens].astype(np.float32)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (sums / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


def nearest_axes(
    vectors: NDArray[np.floating], wanted: NDArray[np.floating]
) -> NDArray[np.float32]:
    """float32[h, d] of orthonormal columns on which vectors have the largest dot products.

    Args:
        vectors: float[n, h] of a network.
        wanted: float[n, d] of the same texts by a table, ``d`` at most ``h``: the other sides of
            the products.

    Raises:
        TrainingError: There are more axes than the network has dimensions.
    """
    if wanted.shape[1] > vectors.shape[1]:
        raise TrainingError(
            f"a table of {wanted.shape[1]} dimensions has no axes in a network's "
            f"{vectors.shape[1]}; fit one of as many at most."
        )
    product = vectors.T.astype(np.float64) @ wanted.astype(np.float64)
    left, _, right = np.linalg.svd(product, full_matrices=False)
    axes: NDArray[np.float32] = (left @ right).astype(np.float32)
    return axes
