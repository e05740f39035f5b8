"""A sentence-embedding model as a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.masked_lm import Precision
from encoders.sentence_encoder import SentenceEncoder
from encoders.training.cache import Progress, cached_vectors


class DenseTeacher:
    """Vectors whose cosines teach.

    They are float16 and kept in ``cache`` under a hash of text, model and length.
    """

    def __init__(
        self,
        directory: Path,
        cache: Path,
        max_length: int = 128,
        precision: Precision = "float32",
    ) -> None:
        """Loads the model.

        Args:
            directory: A checkpoint of :class:`SentenceEncoder`. It goes to the GPU if there is one.
            cache: Where vectors are kept.
            max_length: Tokens of a text, special ones included.
            precision: Of the network's products.

        Raises:
            CheckpointError: The checkpoint is damaged or of another kind.
            EncoderError: torch is not installed.
        """
        self._encoder = SentenceEncoder(directory, max_length, precision)
        self._cache = cache
        self.fingerprint = self._encoder.fingerprint

    def vectors(
        self, texts: Sequence[str], progress: Progress = lambda line: None
    ) -> NDArray[np.float16]:
        """float16[n, d] of norm 1."""
        return cached_vectors(self._cache, self.fingerprint, texts, self.encode, progress)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """The same, computed whatever the cache holds."""
        return self._encoder.encode(texts).astype(np.float16)
