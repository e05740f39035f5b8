"""Arrays of an index as ``.npy`` files: written once, memory-mapped when read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from indexer.errors import IndexCorruptError


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Writes one array; the file is plain ``.npy`` version 1 data, never pickled."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def read_array(
    path: Path, dtype: DTypeLike, ndim: int = 1, *, memory_map: bool = True
) -> NDArray[Any]:
    """Opens one array and checks its header against what the format promises.

    Args:
        path: The ``.npy`` file.
        dtype: Expected element type.
        ndim: Expected number of axes.
        memory_map: Map the file instead of reading it.

    Raises:
        IndexCorruptError: The file is missing, is no such array, or is shorter than it says.
    """
    try:
        array = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
    except FileNotFoundError:
        raise IndexCorruptError(path, "the file is missing") from None
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise IndexCorruptError(path, f"not a readable array ({error})") from None
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(dtype) or array.ndim != ndim:
        found = f"{getattr(array, 'dtype', '?')} with {getattr(array, 'ndim', '?')} axes"
        raise IndexCorruptError(path, f"expected {np.dtype(dtype)} with {ndim} axes, got {found}")
    # A plain ndarray view: numba and slicing are slower on np.memmap's subclass.
    plain = array.view(np.ndarray)
    # Read-only either way: numba compiles a kernel anew for arrays that may be written.
    plain.flags.writeable = False
    return plain


def check_offsets(path: Path, offsets: NDArray[Any], end: int) -> None:
    """Checks that offsets start at 0, never fall and end at ``end``.

    Kernels trust offsets, so that a damaged file has to be found here.

    Raises:
        IndexCorruptError: They don't.
    """
    if (
        len(offsets) == 0
        or int(offsets[0]) != 0
        or int(offsets[-1]) != end
        or bool(np.any(offsets[1:] < offsets[:-1]))
    ):
        raise IndexCorruptError(path, f"offsets are not ascending from 0 to {end}")
