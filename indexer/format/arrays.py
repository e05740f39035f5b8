"""Arrays of an index as ``.npy`` files: written once, memory-mapped when read."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from indexer.errors import IndexCorruptError, IndexerError

SMALL_FILE = 1 << 15
"""Up to this many bytes an array is read: a map would hold a file descriptor for its life."""


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
        IndexCorruptError: The file is missing, is no such array, or not as long as it says.
    """
    try:
        with path.open("rb") as file:
            shape, fortran_order, found = _read_header(file)
            offset, size = file.tell(), file.seek(0, 2)
            if found != np.dtype(dtype) or len(shape) != ndim or fortran_order:
                raise ValueError(f"expected {np.dtype(dtype)} with {ndim} axes, got {found}{shape}")
            if min(shape) < 0 or offset + math.prod(shape) * found.itemsize != size:
                raise ValueError(f"{size} bytes, its header says {found}{shape}")
            if offset % found.alignment:
                raise ValueError(f"data at byte {offset} is not aligned")
            if not math.prod(shape):
                array = np.empty(shape, dtype)
            elif memory_map and size > SMALL_FILE:
                # A plain ndarray view: numba and slicing are slower on np.memmap's subclass.
                array = np.memmap(file, dtype, "r", offset, shape).view(np.ndarray)
            else:
                file.seek(offset)
                array = np.fromfile(file, dtype).reshape(shape)
    except FileNotFoundError:
        raise IndexCorruptError(path, "the file is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise IndexCorruptError(path, f"not a readable array ({error})") from None
    # Read-only either way: numba compiles a kernel anew for arrays that may be written.
    array.flags.writeable = False
    return array


def unreadable(path: Path, error: OSError) -> IndexerError:
    """The error for a file that is there and cannot be opened or read, through no fault of its."""
    remedy = ""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        remedy = " Each segment keeps a few files open: raise the limit with 'ulimit -n 65536'."
    return IndexerError(f"{path}: cannot be read ({error.strerror or error}).{remedy}")


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and element type."""
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("not version 1 of the format")
        return np.lib.format.read_array_header_1_0(file)
    except Exception as error:
        # A damaged header makes numpy's parser raise almost anything.
        raise ValueError(f"no header of an array: {str(error)[:200]}") from None


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
