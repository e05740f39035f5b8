"""Arrays of an index as ``.npy`` files: written once, memory-mapped when read.

Arrays of cold segments may be compressed: ``.npy.zst``, a Zstandard frame of the same bytes, which
is decoded into memory when it is read.
"""

from __future__ import annotations

import errno
import io
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import zstandard
from numpy.typing import DTypeLike, NDArray

from indexer.errors import IndexCorruptError, IndexerError

COMPRESSED_SUFFIX = ".zst"
COMPRESSION_LEVEL = 9

SMALL_FILE = 1 << 15
"""Up to this many bytes an array is read: a map would hold a file descriptor for its life."""


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Writes one array; the file is plain ``.npy`` version 1 data, never pickled."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def write_array_header(file: BinaryIO, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Writes what comes before the elements of an array that is written in pieces."""
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def compress_array(path: Path) -> None:
    """Replaces an array's file by its compressed form, with a checksum of the content inside."""
    compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
    target = path.with_name(path.name + COMPRESSED_SUFFIX)
    with path.open("rb") as source, target.open("wb") as file:
        compressor.copy_stream(source, file, size=path.stat().st_size)
    path.unlink()


def decoded_size(path: Path) -> int:
    """Bytes that a compressed file takes when it is decoded; the size of any other file.

    Raises:
        IndexCorruptError: The file is missing, or no Zstandard frame.
    """
    try:
        if path.suffix != COMPRESSED_SUFFIX:
            return path.stat().st_size
        with path.open("rb") as file:
            return int(zstandard.get_frame_parameters(file.read(32)).content_size)
    except FileNotFoundError:
        raise IndexCorruptError(path, "the file is missing") from None
    except zstandard.ZstdError as error:
        raise IndexCorruptError(path, f"not readable as Zstandard ({error})") from None


def read_array(
    path: Path, dtype: DTypeLike, ndim: int = 1, *, memory_map: bool = True
) -> NDArray[Any]:
    """Opens one array and checks its header against what the format promises.

    Args:
        path: The ``.npy`` file; if it is not there, its compressed form is decoded.
        dtype: Expected element type.
        ndim: Expected number of axes.
        memory_map: Map the file instead of reading it.

    Raises:
        IndexCorruptError: The file is missing, is no such array, or not as long as it says.
    """
    compressed = path.with_name(path.name + COMPRESSED_SUFFIX)
    try:
        if not path.exists() and compressed.exists():
            path = compressed
            with io.BytesIO(_decode(path)) as content:
                array = _read(content, dtype, ndim, memory_map=False)
        else:
            with path.open("rb") as file:
                array = _read(file, dtype, ndim, memory_map=memory_map)
    except FileNotFoundError:
        raise IndexCorruptError(path, "the file is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise IndexCorruptError(path, f"not a readable array ({error})") from None
    # Read-only either way: numba compiles a kernel anew for arrays that may be written.
    array.flags.writeable = False
    return array


def _read(file: BinaryIO, dtype: DTypeLike, ndim: int, *, memory_map: bool) -> NDArray[Any]:
    shape, fortran_order, found = _read_header(file)
    offset, size = file.tell(), file.seek(0, 2)
    if found != np.dtype(dtype) or len(shape) != ndim or fortran_order:
        raise ValueError(f"expected {np.dtype(dtype)} with {ndim} axes, got {found}{shape}")
    if min(shape) < 0 or offset + math.prod(shape) * found.itemsize != size:
        raise ValueError(f"{size} bytes, its header says {found}{shape}")
    if offset % found.alignment:
        raise ValueError(f"data at byte {offset} is not aligned")
    if not math.prod(shape):
        return np.empty(shape, dtype)
    if memory_map and size > SMALL_FILE:
        # A plain ndarray view: numba and slicing are slower on np.memmap's subclass.
        return np.memmap(file, dtype, "r", offset, shape).view(np.ndarray)
    file.seek(offset)
    return np.frombuffer(file.read(), dtype).reshape(shape)


def _decode(path: Path) -> bytes:
    """Content of a compressed file; raises ``ValueError`` where it is damaged."""
    try:
        return zstandard.ZstdDecompressor().decompress(path.read_bytes())
    except (zstandard.ZstdError, MemoryError) as error:
        raise ValueError(f"Zstandard: {error}") from None


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
