"""Teachers: models whose scores the student learns from, computed once and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray
from scipy import sparse

from encoders.checkpoint_files import content_hash
from encoders.masked_lm import Precision
from encoders.training.cache import Progress
from encoders.training.configuration import TeacherSettings
from encoders.training.dense_teacher import DenseTeacher
from encoders.training.lexical import QueryWeights, Scores
from encoders.training.sources import Examples
from encoders.training.student import Student


class Teachers:
    """The teachers of one training run, by name: ``lexical``, ``dense``, ``sparse``."""

    def __init__(self, settings: TeacherSettings, precision: Precision = "float32") -> None:
        """Loads those that the settings name, to compute in ``precision``.

        Raises:
            EncoderError: A teacher cannot be loaded.
        """
        self._settings = settings
        self._dense = self._sparse = None
        if settings.dense is not None:
            cache = settings.cache / "dense"
            self._dense = DenseTeacher(settings.dense, cache, settings.max_length, precision)
        if settings.sparse is not None:
            self._sparse = SparseTeacher(
                settings.sparse, settings.cache / "sparse", settings.max_length, precision
            )

    def scores(
        self,
        examples: Examples,
        lexical: Scores,
        query_weights: QueryWeights,
        progress: Progress = lambda line: None,
    ) -> dict[str, Scores | GivenScores]:
        """Scores of one source by teacher; the lexical ones are those of the lexical base."""
        found: dict[str, Scores | GivenScores] = {"lexical": lexical}
        if self._dense is not None:
            queries = self._dense.vectors(examples.queries, progress)
            found["dense"] = Scores(queries, self._dense.vectors(examples.documents, progress))
        if self._sparse is not None:
            queries = query_weights.queries(examples.queries)
            rows = self._sparse.rows(examples.documents, queries, progress)
            found["sparse"] = Scores(queries, rows)
        if any(examples.scores):
            found["given"] = GivenScores(examples.scores)
        return found


class GivenScores:
    """Scores that come with the training text, such as those of a cross-encoder.

    A document without a score gets the lowest that its query has: the documents of other
    queries are taken to be no better than the worst candidate.
    """

    def __init__(self, scores: Sequence[Mapping[int, float]]) -> None:
        self._scores = scores

    def of(self, queries: NDArray[np.int64], documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[len(queries), len(documents)]."""
        found = np.zeros((len(queries), len(documents)), np.float32)
        for row, query in zip(found, queries.tolist(), strict=True):
            given = self._scores[query]
            lowest = min(given.values(), default=0.0)
            row[:] = [given.get(document, lowest) for document in documents.tolist()]
        return found


class SparseTeacher:
    """A SPLADE-type checkpoint, evaluated in the dimensions that some query of a source has.

    The other dimensions cannot score, and there are several times as many of them.
    """

    def __init__(
        self,
        directory: Path,
        cache: Path,
        max_length: int = 128,
        precision: Precision = "float32",
    ) -> None:
        """Loads a checkpoint of any layout of ``encoders.checkpoint``."""
        self._model = Student(directory, precision=precision)
        self._cache = cache
        self._max_length = max_length
        files = [*sorted(directory.rglob("*.safetensors")), directory / "config.json"]
        reduced = "" if precision == "float32" else f" {precision}"
        self._fingerprint = f"{content_hash(files, ())} {max_length}{reduced}"

    def rows(
        self,
        documents: list[str],
        queries: sparse.csr_matrix,
        progress: Progress = lambda line: None,
    ) -> sparse.csr_matrix:
        """float32 CSR [documents, V] in the dimensions of the queries."""
        columns = np.unique(queries.indices).astype(np.int64)
        digest = hashlib.sha256(self._fingerprint.encode() + columns.tobytes())
        for text in documents:
            digest.update(xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass")))
        path = self._cache / f"{digest.hexdigest()[:32]}.npz"
        if not path.is_file():
            progress(f"sparse teacher, {len(documents)} documents in {len(columns)} dimensions")
            rows = self._model.encode(self._model.tokens(documents, self._max_length), columns)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".part.npz")
            sparse.save_npz(temporary, rows)
            temporary.replace(path)
        return sparse.load_npz(path).tocsr()
