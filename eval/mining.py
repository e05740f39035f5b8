"""Hard negatives for training: what our own BM25 index and the dense teacher rank first."""

from __future__ import annotations

import tempfile
from itertools import zip_longest
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from encoders.base import Document
from encoders.training.cache import Progress
from encoders.training.configuration import TrainingConfig
from encoders.training.dense_teacher import DenseTeacher
from encoders.training.sources import Examples, Source
from indexer.builder import build_index
from indexer.corpus.records import CorpusRecord
from indexer.settings import BuildSettings
from indexer.spaces import DEFAULT_SPACE, create_spaces
from retriever.searcher import open_index

DEPTH = 40
"""Documents taken from each ranking."""

_QUERY_BLOCK = 256


class NegativeMiner:
    """Finds negatives of one source in the source's own documents, and keeps them on disk.

    The rankings of both retrievers are interleaved: what one of them ranks high and is not known
    to be relevant is a hard negative for a model that is to be better than both. Some of them
    are relevant all the same; distillation gives those a high score.
    """

    def __init__(self, config: TrainingConfig, progress: Progress = lambda line: None) -> None:
        """Loads the dense teacher, if there is one."""
        teachers = config.teachers
        self._base = config.base
        self._cache = teachers.cache / "negatives"
        self._progress = progress
        self._dense = None
        if teachers.dense is not None:
            self._dense = DenseTeacher(
                teachers.dense,
                teachers.cache / "dense",
                teachers.max_length,
                config.precision,
            )

    def __call__(self, source: Source, examples: Examples) -> NDArray[np.int32]:
        """int32[queries, 2 * DEPTH] numbers of documents, best first, -1 behind the last."""
        path = self._cache / f"{self._digest(examples)}.npy"
        if not path.is_file():
            self._progress(f"{source.name}: mining negatives of {len(examples.queries)} queries")
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".part.npy")
            np.save(temporary, self._mine(examples))
            temporary.replace(path)
        negatives: NDArray[np.int32] = np.load(path, allow_pickle=False)
        return negatives

    def _mine(self, examples: Examples) -> NDArray[np.int32]:
        rankings = [self._lexical(examples)]
        if self._dense is not None:
            rankings.append(self._dense_ranking(self._dense, examples))
        negatives = np.full((len(examples.queries), 2 * DEPTH), -1, np.int32)
        for number, relevant in enumerate(examples.positives):
            merged = zip_longest(*(ranking[number] for ranking in rankings))
            flat = dict.fromkeys(d for level in merged for d in level if d is not None)
            kept = [d for d in flat if d not in relevant][: 2 * DEPTH]
            negatives[number, : len(kept)] = kept
        return negatives

    def _lexical(self, examples: Examples) -> list[list[int]]:
        records = (
            CorpusRecord(Document(str(number), text=text), "training text", None)
            for number, text in enumerate(examples.documents)
        )
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "negatives.winnow"
            spaces = create_spaces({DEFAULT_SPACE: self._base})
            build_index(records, index, spaces, settings=BuildSettings(split=False))
            with open_index(index) as searcher:
                found = searcher.search_batch(examples.queries, DEPTH)
                return [[int(hit.doc_id) for hit in results.hits] for results in found]

    def _dense_ranking(self, teacher: DenseTeacher, examples: Examples) -> list[list[int]]:
        queries = teacher.vectors(examples.queries).astype(np.float32)
        documents = teacher.vectors(examples.documents).astype(np.float32)
        depth = min(DEPTH, len(documents))
        rankings: list[list[int]] = []
        for start in range(0, len(queries), _QUERY_BLOCK):
            scores = queries[start : start + _QUERY_BLOCK] @ documents.T
            top = np.argpartition(-scores, depth - 1)[:, :depth]
            order = np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable")
            rankings += np.take_along_axis(top, order, 1).tolist()
        return rankings

    def _digest(self, examples: Examples) -> str:
        dense = "" if self._dense is None else self._dense.fingerprint
        digest = xxhash.xxh3_128(f"{self._base} {DEPTH} {dense} {examples.positives}".encode())
        for text in [*examples.queries, "", *examples.documents]:
            digest.update(xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass")))
        return digest.hexdigest()
