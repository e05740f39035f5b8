"""Rows of batches on disk, so that a build that was broken off does not encode them again."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash

from encoders.base import (
    Document,
    DocumentEncoder,
    EncoderSpec,
    QuerySide,
    SparseRows,
    StatisticalEncoder,
)
from encoders.errors import EncoderError

ROWS = "*.npz"
"""Pattern of the files that hold rows."""


class RowCache:
    """An encoder that writes the rows of every batch to a directory and reads those it finds.

    A file is named by a hash of the encoder's spec and of the batch's texts: another model, other
    settings or another text never get these rows. Files appear whole, and one that cannot be read
    is written again. For encoders of a fixed vocabulary with ``token_lengths``.

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
        path = self._directory / f"{self._hash(documents)}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                rows = SparseRows(stored["indptr"], stored["dimensions"], stored["weights"])
            if len(rows) == len(documents):
                self.found += len(rows)
                return rows
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass  # Not there, or cut off by whatever ended the build.
        rows = self.encoder.encode_documents(documents)
        self._directory.mkdir(parents=True, exist_ok=True)
        written = path.with_suffix(".writing")
        with written.open("wb") as file:
            np.savez(file, indptr=rows.indptr, dimensions=rows.dimensions, weights=rows.weights)
        written.replace(path)
        return rows

    def _hash(self, documents: Sequence[Document]) -> str:
        state = xxhash.xxh3_128(self._name)
        for document in documents:
            text = document.full_text().encode("utf-8", "surrogatepass")
            state.update(f"\0{len(text)}\0".encode())
            state.update(text)
        return state.hexdigest()


def fits_row_cache(encoder: DocumentEncoder) -> bool:
    """Whether a :class:`RowCache` may hold an encoder: fixed vocabulary, learned weights."""
    return (
        isinstance(encoder.spec.vocabulary, int)
        and not isinstance(encoder, StatisticalEncoder)
        and hasattr(encoder, "token_lengths")
        and hasattr(encoder, "special_token_count")
    )
