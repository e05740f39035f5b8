"""What encoders made of batches, on disk: a build that was broken off does not encode them again.

A file is named by a hash of all that decides its content and of the batch's texts: another model,
other settings or another text never get it. Files appear whole, and one that cannot be read is
written again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from encoders.base import (
    Document,
    DocumentEncoder,
    EncoderSpec,
    QuerySide,
    SparseRows,
    StatisticalEncoder,
)
from encoders.document_vectors import DocumentVectors
from encoders.errors import EncoderError

ROWS = "*.npz"
"""Pattern of the files that hold rows."""


class RowCache:
    """An encoder that writes the rows of every batch to a directory and reads those it finds.

    For encoders of a fixed vocabulary with ``token_lengths``.

    Attributes:
        encoder: The encoder within.
        found: Documents whose rows were read so far.
    """

    def __init__(self, encoder: DocumentEncoder, directory: Path) -> None:
        """Uses ``directory``, which is made with the first batch.

        Raises:
            EncoderError: The encoder's vocabulary is open, or it has no ``token_lengths``.
        """
        if not fits_row_cache(encoder):
            raise EncoderError(
                f"rows of encoder {encoder.spec.name!r} cannot be kept: that takes a fixed "
                "vocabulary and token_lengths; use the encoder without a RowCache."
            )
        self.found = 0
        self.encoder = encoder
        self._directory = directory
        self._name = json.dumps(dataclasses.asdict(encoder.spec), sort_keys=True).encode()

    @property
    def spec(self) -> EncoderSpec:
        """That of the encoder."""
        return self.encoder.spec

    @property
    def special_token_count(self) -> int:
        """That of the encoder."""
        return self.encoder.special_token_count  # type: ignore[attr-defined,no-any-return]

    def token_lengths(self, texts: Sequence[str]) -> list[int]:
        """Those of the encoder."""
        return self.encoder.token_lengths(texts)  # type: ignore[attr-defined,no-any-return]

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Those of the encoder."""
        return self.encoder.count_tokens(documents)

    def query_side(self) -> QuerySide:
        """That of the encoder."""
        return self.encoder.query_side()

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Rows of the batch, read or encoded and written.

        Raises:
            EncoderError: See the encoder.
            OSError: The directory cannot be written.
        """
        path = self._directory / _file_name(self._name, documents)
        stored = _read(path, ("indptr", "dimensions", "weights"))
        if stored is not None:
            with contextlib.suppress(ValueError):
                indptr, dimensions, weights = stored
                rows = SparseRows(indptr, dimensions, weights)
                if len(rows) == len(documents):
                    self.found += len(rows)
                    return rows
        rows = self.encoder.encode_documents(documents)
        _write(path, indptr=rows.indptr, dimensions=rows.dimensions, weights=rows.weights)
        return rows


class VectorCache:
    """Vectors of documents that writes those of every batch, and reads those it finds.

    Attributes:
        vectors: The vectors within.
        found: Documents whose vectors were read so far.
    """

    def __init__(self, vectors: DocumentVectors, directory: Path) -> None:
        """Uses ``directory``, which is made with the first batch."""
        self.vectors = vectors
        self.found = 0
        self._directory = directory
        self._name = f"vectors {vectors.content_hash}".encode()
        self.argument = vectors.argument
        self.config = vectors.config
        self.label = vectors.label
        self.tokenizer_json = vectors.tokenizer_json
        self.query_table = vectors.query_table
        self.query_weight = vectors.query_weight
        self.dimensions = vectors.dimensions
        self.content_hash = vectors.content_hash

    def document_vectors(self, documents: Sequence[Document]) -> NDArray[np.int8]:
        """Vectors of the batch, read or computed and written.

        Raises:
            OSError: The directory cannot be written.
        """
        path = self._directory / _file_name(self._name, documents)
        stored = _read(path, ("vectors",))
        if stored is not None:
            [vectors] = stored
            if vectors.shape == (len(documents), self.dimensions) and vectors.dtype == np.int8:
                self.found += len(vectors)
                return vectors
        vectors = self.vectors.document_vectors(documents)
        _write(path, vectors=vectors)
        return vectors


def _file_name(name: bytes, documents: Sequence[Document]) -> str:
    state = xxhash.xxh3_128(name)
    for document in documents:
        text = document.full_text().encode("utf-8", "surrogatepass")
        state.update(f"\0{len(text)}\0".encode())
        state.update(text)
    return f"{state.hexdigest()}.npz"


def _read(path: Path, names: Sequence[str]) -> list[NDArray[Any]] | None:
    """Arrays of a file; ``None`` if it is not there, or cut off by whatever ended the build."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return [stored[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, **arrays: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".writing")
    with written.open("wb") as file:
        np.savez(file, **arrays)
    written.replace(path)


def fits_row_cache(encoder: DocumentEncoder) -> bool:
    """Whether a :class:`RowCache` may hold an encoder: fixed vocabulary, learned weights."""
    return (
        isinstance(encoder.spec.vocabulary, int)
        and not isinstance(encoder, StatisticalEncoder)
        and hasattr(encoder, "token_lengths")
        and hasattr(encoder, "special_token_count")
    )
