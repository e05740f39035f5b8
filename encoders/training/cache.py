"""Vectors on disk under a hash of what they were computed from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

CHUNK = 1024
"""Texts per file: what a stopped computation loses at most."""

Progress = Callable[[str], None]


def cached_vectors(
    directory: Path,
    fingerprint: str,
    texts: Sequence[str],
    compute: Callable[[Sequence[str]], NDArray[np.float16]],
    progress: Progress = lambda line: None,
) -> NDArray[np.float16]:
    """Vectors of texts, computed once and kept.

    A file holds the vectors of up to ``CHUNK`` texts; its name is a hash of these texts and of
    the fingerprint, so that a change of either computes anew and nothing stale is ever read.

    Args:
        directory: Where the files lie; made when missing.
        fingerprint: Everything but the text that decides the vectors.
        texts: What to encode.
        compute: float16[n, d] of n texts.
        progress: Told in one line when a chunk has been computed.

    Returns:
        float16[len(texts), d].
    """
    directory.mkdir(parents=True, exist_ok=True)
    chunks = []
    for start in range(0, len(texts), CHUNK):
        piece = texts[start : start + CHUNK]
        path = directory / f"{_digest(fingerprint, piece)}.npy"
        if not path.is_file():
            vectors = compute(piece)
            temporary = path.with_suffix(f".{os.getpid()}")
            with temporary.open("wb") as file:
                np.save(file, vectors)
            temporary.replace(path)
            progress(f"{start + len(piece)} of {len(texts)} texts")
        chunks.append(np.load(path, allow_pickle=False))
    return np.concatenate(chunks) if chunks else np.empty((0, 0), np.float16)


def _digest(fingerprint: str, texts: Sequence[str]) -> str:
    digest = xxhash.xxh3_128(fingerprint.encode())
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()
