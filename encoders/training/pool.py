"""The training pool: examples with all that the teachers say about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from encoders.training.cache import Progress
from encoders.training.configuration import TrainingConfig
from encoders.training.errors import TrainingError
from encoders.training.lexical import LexicalBase, QueryWeights, Scores
from encoders.training.sources import Examples, Source, read_source
from encoders.training.student import Student
from encoders.training.teachers import GivenScores, Teachers

Mine = Callable[[Source, Examples], NDArray[np.int32]]
"""Finds negatives: int32[queries, n] numbers of documents, best first, -1 behind the last one.

It comes from outside, because an index and its search belong to packages that import this one.
"""


@dataclass(frozen=True)
class PoolSource:
    """One source, ready for training.

    Attributes:
        name: The source's name.
        weight: How often its queries are drawn.
        documents: Token ids of each document, special tokens around them.
        positives: Per query, numbers of its relevant documents; none where nobody knows them.
        negatives: int32[Q, n], -1 where there is none; without a relevant document all that was
            mined, at least one, whose scores the teachers alone give.
        query_weights: float32 CSR [Q, V] of the learned part's queries.
        idf: float32[V].
        base: Scores of the lexical part.
        teachers: Scores of each teacher by name.
    """

    name: str
    weight: float
    documents: Sequence[NDArray[np.int32]]
    positives: Sequence[Sequence[int]]
    negatives: NDArray[np.int32]
    query_weights: sparse.csr_matrix
    idf: NDArray[np.float32]
    base: Scores
    teachers: Mapping[str, Scores | GivenScores]


def prepare(
    config: TrainingConfig,
    student: Student,
    mine: Mine,
    excluded: frozenset[str] = frozenset(),
    progress: Progress = lambda line: None,
) -> list[PoolSource]:
    """Reads all sources and lets the teachers score them; what is cached is not computed again.

    Raises:
        TrainingError: A source gives nothing, or nothing that the losses can learn from.
        EncoderError: A teacher cannot be loaded.
    """
    teachers = Teachers(config.teachers, config.precision)
    pool = []
    for source in config.sources:
        if source.weight:
            examples = read_source(source, excluded)
            progress(
                f"{source.name}: {len(examples.queries)} queries, "
                f"{len(examples.documents)} documents"
            )
            pool.append(_prepare(config, student, teachers, source, examples, mine, progress))
    if not pool:
        raise TrainingError("no source has a weight above 0; there is nothing to train on.")
    return pool


def _prepare(
    config: TrainingConfig,
    student: Student,
    teachers: Teachers,
    source: Source,
    examples: Examples,
    mine: Mine,
    progress: Progress,
) -> PoolSource:
    _refuse_labels_only(config, source, examples)
    examples, negatives = _with_candidates(examples, _with_given(examples, mine(source, examples)))
    if not examples.queries:
        raise TrainingError(f"source {source.name!r}: no query finds a document to learn from.")
    lexical = LexicalBase(examples.documents, config.base)
    table = QueryWeights(student.tokenizer, examples.documents)
    query_weights = table.queries(examples.queries)
    base = Scores(lexical.queries(examples.queries), lexical.documents)
    scores = teachers.scores(examples, base, table, lambda line: progress(f"{source.name}: {line}"))
    return PoolSource(
        name=source.name,
        weight=source.weight,
        documents=student.tokens(examples.documents, config.max_length),
        positives=examples.positives,
        negatives=negatives,
        query_weights=query_weights,
        idf=table.idf,
        base=base,
        teachers=scores,
    )


def _refuse_labels_only(config: TrainingConfig, source: Source, examples: Examples) -> None:
    if not any(examples.positives) and not config.loss.kl + config.loss.margin_mse:
        raise TrainingError(
            f"source {source.name!r} has no relevant documents, so that only teachers can say what "
            "ranks first: kl or margin_mse must be above 0."
        )


def _with_candidates(
    examples: Examples, negatives: NDArray[np.int32]
) -> tuple[Examples, NDArray[np.int32]]:
    """Without the queries that have no relevant document and found none."""
    kept = [
        number
        for number, (relevant, mined) in enumerate(zip(examples.positives, negatives, strict=True))
        if relevant or mined[0] >= 0
    ]
    rows = {
        name: [getattr(examples, name)[number] for number in kept]
        for name in ("queries", "positives", "negatives", "scores")
    }
    return replace(examples, **rows), negatives[kept]


def _with_given(examples: Examples, mined: NDArray[np.int32]) -> NDArray[np.int32]:
    """Mined negatives behind those that the source gives; relevant documents taken out."""
    rows = []
    for given, relevant, found in zip(
        examples.negatives, examples.positives, mined.tolist(), strict=True
    ):
        barred = set(relevant)
        rows.append([d for d in dict.fromkeys(given + found) if d >= 0 and d not in barred])
    width = max(1, *map(len, rows))
    negatives = np.full((len(rows), width), -1, np.int32)
    for line, row in zip(negatives, rows, strict=True):
        line[: len(row)] = row
    return negatives
