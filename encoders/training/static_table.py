"""Fits a table of static word vectors to a dense teacher (``encoders.static_vectors``).

A text's vector is the weighted sum of its tokens' vectors, so that queries need no network. The
table starts as the mean of the teacher's vectors of the texts that hold a token. Training brings
sums nearer to the teacher's vectors, and their rankings within a batch to the teacher's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from encoders.query.idf import idf
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.static_vectors import StaticTable
from encoders.training.errors import TrainingError

TokenCounts = tuple[NDArray[np.int64], NDArray[np.float32]]
"""The distinct tokens of a text, ascending, and how often each occurs."""

_INITIAL_COUNT = 3
"""Texts of the mean vector that every token starts with: rare tokens stay near 0."""

_INITIAL_SCALE = 0.3


class StaticSettings(BaseModel):
    """How a table is fitted.

    Attributes:
        dimensions: Of a vector: the teacher's leading principal components.
        steps: Batches.
        batch: Queries of a batch, each with one relevant document.
        learning_rate: Of vectors at the start; it falls to 0. Weights of tokens have twice that.
        token_dropout: Share of a document's tokens that a step leaves out.
        scale: Sharpness of rankings.
        seed: Of batches and of the tokens left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimensions: int = Field(default=256, ge=8)
    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    token_dropout: float = Field(default=0.0, ge=0, lt=1)
    scale: float = Field(default=20.0, gt=0)
    seed: int = 0


@dataclass(frozen=True)
class StaticExamples:
    """What a table learns from.

    Attributes:
        documents: Token counts of documents.
        queries: Token counts of queries.
        document_vectors: float[n, d] of the teacher, norm 1.
        query_vectors: The same of the queries.
        pairs: int64[m, 2], a query and a document relevant to it.
    """

    documents: Sequence[TokenCounts]
    queries: Sequence[TokenCounts]
    document_vectors: NDArray[np.floating]
    query_vectors: NDArray[np.floating]
    pairs: NDArray[np.int64]


def read_tokens(
    tokenizer: WordPieceTokenizer, texts: Sequence[str], max_length: int
) -> list[TokenCounts]:
    """Token counts of the beginnings of texts; the unknown token for a text that has none."""
    unknown = tokenizer.id("[UNK]") or 0
    found = []
    for ids in tokenizer.ids_batch(texts):
        tokens, counts = np.unique(ids[:max_length] or [unknown], return_counts=True)
        found.append((tokens.astype(np.int64), counts.astype(np.float32)))
    return found


def fit_static_table(
    examples: StaticExamples,
    vocabulary_size: int,
    settings: StaticSettings,
    progress: Callable[[str], None] = lambda line: None,
) -> StaticTable:
    """Fits a table; the same settings give the same one.

    Args:
        examples: Texts with the teacher's vectors.
        vocabulary_size: Tokens of the tokenizer.
        settings: How.
        progress: Told one line every 100 steps.
    """
    import torch
    from torch.nn.functional import normalize

    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    axes = principal_axes(examples.document_vectors, settings.dimensions)
    projected = [
        _unit(vectors.astype(np.float32) @ axes)
        for vectors in (examples.document_vectors, examples.query_vectors)
    ]
    doc_freq = np.zeros(vocabulary_size, dtype=np.int64)
    for tokens, _ in examples.documents:
        doc_freq[tokens] += 1
    initial = _initial_vectors(examples, projected, vocabulary_size)
    weights = idf(len(examples.documents), doc_freq).astype(np.float32)
    table = torch.nn.EmbeddingBag.from_pretrained(
        torch.from_numpy(initial), freeze=False, mode="sum", sparse=True
    )
    document_weight = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    query_weight = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    bias = torch.nn.Parameter(torch.from_numpy(projected[0].mean(axis=0)))
    rate = settings.learning_rate
    optimizers = [
        torch.optim.SparseAdam([table.weight], lr=rate),
        torch.optim.Adam([document_weight, query_weight], lr=2 * rate),
        torch.optim.Adam([bias], lr=rate / 2),
    ]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    teacher = [torch.from_numpy(vectors) for vectors in projected]
    full = [
        torch.from_numpy(vectors.astype(np.float32))
        for vectors in (examples.document_vectors, examples.query_vectors)
    ]

    def summed(texts: Sequence[TokenCounts], weight: Any) -> Any:
        tokens, starts, counts = _bags(texts)
        per_token = torch.from_numpy(counts) * weight[tokens]
        return table(torch.from_numpy(tokens), torch.from_numpy(starts), per_token)

    def divergence(target: Any, scores: Any) -> Any:
        logs = target.log_softmax(1) - (settings.scale * scores).log_softmax(1)
        return (target.softmax(1) * logs).sum(1).mean()

    for step in range(settings.steps):
        for optimizer, first in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = first * max(0.02, 1 - step / settings.steps)
            optimizer.zero_grad()
        size = min(settings.batch, len(examples.pairs))
        chosen = rng.choice(len(examples.pairs), size, replace=False)
        queries, documents = examples.pairs[chosen].T
        texts = [
            _without_some(examples.documents[number], settings.token_dropout, rng)
            for number in documents.tolist()
        ]
        q = normalize(summed([examples.queries[n] for n in queries], query_weight), dim=1)
        d = normalize(summed(texts, document_weight) + bias, dim=1)
        wanted_d, wanted_q = teacher[0][documents], teacher[1][queries]
        target = settings.scale * full[1][queries] @ full[0][documents].T
        document_cosine = (d * wanted_d).sum(1).mean()
        query_cosine = (q * wanted_q).sum(1).mean()
        ranking = divergence(target, q @ d.T)
        loss = ranking + 0.5 * divergence(target, q @ wanted_d.T) - document_cosine - query_cosine
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if step % 100 == 0 or step == settings.steps - 1:
            progress(
                f"step {step}: cosine of documents {document_cosine:.3f}, of queries "
                f"{query_cosine:.3f}, divergence {ranking:.3f}"
            )
    return StaticTable.quantised(
        table.weight.detach().numpy(),
        document_weight.detach().numpy(),
        query_weight.detach().numpy(),
        bias.detach().numpy(),
    )


def principal_axes(vectors: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """float32[d, count]: the axes, not centred, along which vectors are longest.

    Of each the largest component is positive.

    Raises:
        TrainingError: The vectors have fewer dimensions.
    """
    if count > vectors.shape[1]:
        raise TrainingError(
            f"{count} dimensions of vectors that have {vectors.shape[1]}; give as many at most."
        )
    sums = vectors.astype(np.float32)
    _, axes = np.linalg.eigh((sums.T @ sums).astype(np.float64))
    chosen = axes[:, ::-1][:, :count]
    largest = chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])]
    result: NDArray[np.float32] = (chosen * np.sign(largest)).astype(np.float32)
    return result


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


def _initial_vectors(
    examples: StaticExamples, projected: Sequence[NDArray[np.float32]], vocabulary_size: int
) -> NDArray[np.float32]:
    """float32[V, d]: per token the mean of the vectors of texts with it, short texts the most."""
    centre = projected[0].mean(axis=0)
    sums = np.zeros((vocabulary_size, len(centre)), dtype=np.float32)
    counts = np.full(vocabulary_size, _INITIAL_COUNT, dtype=np.float32)
    for texts, vectors in zip((examples.documents, examples.queries), projected, strict=True):
        for (tokens, _), vector in zip(texts, vectors - centre, strict=True):
            sums[tokens] += vector / np.sqrt(max(1, len(tokens)))
            counts[tokens] += 1
    initial: NDArray[np.float32] = (_INITIAL_SCALE * sums / counts[:, None]).astype(np.float32)
    return initial


def _bags(
    texts: Sequence[TokenCounts],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Tokens of all texts, where each text begins, and the damped counts."""
    starts = np.cumsum([0, *(len(tokens) for tokens, _ in texts[:-1])])
    tokens = np.concatenate([tokens for tokens, _ in texts]).astype(np.int64)
    counts = np.concatenate([counts for _, counts in texts])
    return tokens, starts, 1 + np.log(counts, dtype=np.float32)


def _without_some(text: TokenCounts, share: float, rng: np.random.Generator) -> TokenCounts:
    """A text without a random share of its tokens, but with one at least."""
    tokens, counts = text
    if not share or len(tokens) < 2:
        return text
    kept = rng.random(len(tokens)) >= share
    kept[rng.integers(len(tokens))] = True
    return tokens[kept], counts[kept]
