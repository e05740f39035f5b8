"""Static vectors of a segment's passages: ``vectors.npy``, int8[rows, d], by row.

A step of a component stands for ``kernels.cpu.vectors.VECTOR_STEP``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.format.arrays import write_array_header

VECTORS_NAME = "vectors.npy"
DRAFT_NAME = "draft.vectors"

_PIECE_ROWS = 1 << 14


class VectorCollector:
    """Vectors in order of arrival, in a file while a segment is being written.

    Args:
        directory: The segment.
        dimensions: Components of a vector.
    """

    def __init__(self, directory: Path, dimensions: int) -> None:
        self._path = directory / DRAFT_NAME
        self._file = self._path.open("wb")
        self._dimensions = dimensions
        self._count = 0

    def append(self, vectors: NDArray[np.int8]) -> None:
        """Adds int8[n, d]."""
        self._file.write(np.ascontiguousarray(vectors, dtype=np.int8).data)
        self._count += len(vectors)

    def finish(self) -> None:
        """Ends adding."""
        self._file.close()

    def take(self) -> NDArray[np.int8]:
        """All of them, memory-mapped, and removes the file."""
        shape = (self._count, self._dimensions)
        mapped: NDArray[Any] = np.empty(shape, np.int8)
        if self._count:
            mapped = np.memmap(self._path, np.int8, "r", shape=shape)
        self._path.unlink()
        return mapped


def write_vectors(
    directory: Path, vectors: NDArray[np.int8], row_arrival: NDArray[np.uint32] | None
) -> None:
    """Writes ``vectors.npy``.

    Args:
        directory: The segment.
        vectors: int8[rows, d] in order of arrival.
        row_arrival: uint32[rows], position of arrival of each row; ``None`` for that order.
    """
    with (directory / VECTORS_NAME).open("wb") as file:
        write_array_header(file, np.int8, vectors.shape)
        for first in range(0, len(vectors), _PIECE_ROWS):
            piece: Any = slice(first, first + _PIECE_ROWS)
            if row_arrival is not None:
                piece = row_arrival[piece]
            file.write(np.ascontiguousarray(vectors[piece]).data)
