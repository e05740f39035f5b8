"""Trained factors of query weights, ``query_factors.npy`` beside a checkpoint's weights.

Training may learn for every token how much more, or less, than its idf it should count in a query
(``query_table_learning_rate``; Li-LSR, arXiv 2505.01452). A score is the sum over the query's
tokens of idf times factor times the document's entry, so that the factor can as well stand in the
document: encoders multiply entries by it, before pruning. Query weights remain the idf of the
collection that is searched.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.errors import CheckpointError

QUERY_FACTORS = "query_factors.npy"


def read_query_factors(directory: Path, vocabulary: int) -> NDArray[np.float32] | None:
    """float32[V] factors above 0, or ``None`` where the directory has no such file.

    Raises:
        CheckpointError: The file is damaged, or belongs to another vocabulary.
    """
    path = directory / QUERY_FACTORS
    if not path.is_file():
        return None
    try:
        factors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Copy it again.") from error
    if factors.dtype != np.float32 or factors.shape != (vocabulary,):
        raise CheckpointError(
            f"{path} must hold float32[{vocabulary}], a factor for each entry of the vocabulary, "
            f"got {factors.dtype}{list(factors.shape)}; copy all files of one training run."
        )
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise CheckpointError(f"{path}: factors must be finite and above 0; train again.")
    result: NDArray[np.float32] = factors
    return result
