"""Dense vectors: documents are read by a sentence-embedding network, queries stay sums of tokens.

A table of static vectors (``encoders.static_vectors``) is fitted to a network, whose vectors its
queries resemble. So documents can have the network's own vectors, which say more than a sum of
words, on the axes of the table; what a query costs stays the same. ``dense.safetensors`` beside
the table holds ``axes`` float16[h, d], from the network's vectors to the table's, and ``probe``
float16[h], what the network makes of ``PROBE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from encoders.base import Document
from encoders.checkpoint_files import content_hash
from encoders.document_vectors import quantise_vectors
from encoders.errors import CheckpointError
from encoders.sentence_encoder import SentenceEncoder
from encoders.static_config import DENSE_NAME, DenseRecord, StaticConfig
from encoders.static_vectors import StaticVectors

PROBE = "The chaff is parted from the grain by wind."
"""A text by whose vector a network is known again, whatever files it comes in."""

_LEAST_COSINE = 0.999
"""Other precisions of one network are nearer than that, other networks are not."""


class DenseVectors:
    """Gives documents the vectors of a network."""

    def __init__(
        self,
        static: StaticVectors,
        record: DenseRecord,
        axes: NDArray[np.float16],
        encoder: SentenceEncoder,
        argument: str,
    ) -> None:
        """Vectors on the axes of a table.

        Args:
            static: The table of queries.
            record: How to use the vectors.
            axes: float16[h, d], from the encoder's vectors to the table's.
            encoder: The network that the table was fitted to.
            argument: What an index records of where it is.
        """
        self.static = static
        self.config: StaticConfig = record.use
        self.label = f"vectors of {record.name}"
        self.argument: str | None = argument
        self.tokenizer_json = static.tokenizer_json
        self._axes = axes.astype(np.float32)
        self._encoder = encoder

    @classmethod
    def read(cls, directory: Path, checkpoint: Path, argument: str) -> Self:
        """Reads a table with its axes, and the network.

        Args:
            directory: As ``write_static_vectors`` wrote it, with axes.
            checkpoint: The network, see :class:`SentenceEncoder`.
            argument: What an index records of where it is.

        Raises:
            CheckpointError: A file is missing or damaged, or the network is another one than the
                table was fitted to.
            EncoderError: torch is not installed.
        """
        static = StaticVectors.read(directory)
        record = static.dense
        if record is None:
            raise CheckpointError(
                f"{directory} has no axes for vectors of a network. Fit the table again."
            )
        axes, probe = read_axes(directory, record)
        encoder = SentenceEncoder(checkpoint, record.use.max_length)
        expected = (encoder.dimensions, static.dimensions)
        if axes.shape != expected or probe.shape != expected[:1]:
            raise CheckpointError(
                f"{checkpoint} gives vectors of {encoder.dimensions} numbers, and the axes are for "
                f"those of {record.name}: {list(axes.shape)}. Give that network's directory."
            )
        [found] = encoder.encode([PROBE])
        wanted = probe.astype(np.float32)
        cosine = float(found @ wanted / np.linalg.norm(wanted))
        if not cosine > _LEAST_COSINE:
            raise CheckpointError(
                f"{checkpoint} is not {record.name}, which the vectors of queries were fitted to: "
                f"its vector of a text has a cosine of {cosine:.3f} with that network's. Give that "
                "network's directory."
            )
        return cls(static, record, axes, encoder, argument)

    @property
    def query_table(self) -> NDArray[np.int8]:
        """int8[V, d], a vector per token."""
        return self.static.query_table

    @property
    def query_weight(self) -> NDArray[np.float32]:
        """float32[V], worth of a step of a token's vector in a query."""
        return self.static.query_weight

    @property
    def dimensions(self) -> int:
        """Of a vector."""
        return self.static.dimensions

    @property
    def content_hash(self) -> str:
        """Of all that decides the vectors of documents."""
        return content_hash((), [self._encoder.fingerprint.encode(), self._axes.tobytes()])

    def document_vectors(self, documents: Sequence[Document]) -> NDArray[np.int8]:
        """int8[n, d] in steps of ``VECTOR_STEP``; zeros for a document without tokens."""
        texts = [document.full_text() for document in documents]
        tokens = self.static.tokenizer.ids_batch(texts)
        told = [number for number, ids in enumerate(tokens) if ids]
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        if told:
            projected = self._encoder.encode([texts[number] for number in told]) @ self._axes
            lengths = np.linalg.norm(projected, axis=1, keepdims=True)
            vectors[told] = projected / np.maximum(lengths, 1e-9)
        return quantise_vectors(vectors)


def read_axes(
    directory: Path, record: DenseRecord
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Axes, float16[h, d], and what the network makes of ``PROBE``, float16[h].

    Args:
        directory: Of the table.
        record: What ``vectors.json`` says of them.

    Raises:
        CheckpointError: The file is missing, damaged or another one.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = directory / DENSE_NAME
    try:
        content = path.read_bytes()
        arrays = load(content)
        axes, probe = arrays["axes"], arrays["probe"]
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {str(error).splitlines()[0]}. Copy the folder again."
        ) from None
    if content_hash((), [content]) != record.axes:
        raise CheckpointError(
            f"{path} is not the file that the table was written with: copy the folder again."
        )
    return axes, probe
