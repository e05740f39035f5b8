"""The configuration of a training run: a TOML file, checked in full before anything starts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from encoders.checkpoint import Activation
from encoders.errors import EncoderError
from encoders.masked_lm import Precision
from encoders.pruning import Pruning
from encoders.training.errors import TrainingError
from encoders.training.regularisers import Regulariser
from encoders.training.sources import Source


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TeacherSettings(_Settings):
    """Which models teach.

    Attributes:
        groups: Weights of teachers (``lexical``, ``dense``, ``sparse``, and ``given`` for the
            scores of triples) by group; see ``encoders.training.losses.ensemble``. A source that
            one of them says nothing about does without it.
        dense: Directory of a BERT-type sentence-embedding model.
        sparse: Directory of a SPLADE-type checkpoint.
        scale: Sharpness of the teachers' distribution.
        max_length: Tokens of a text that dense and sparse teachers read.
        cache: Directory of what they have computed.
    """

    groups: tuple[dict[str, float], ...] = ({"lexical": 1.0},)
    dense: Path | None = None
    sparse: Path | None = None
    scale: float = Field(default=30.0, gt=0)
    max_length: int = Field(default=128, ge=8, le=512)
    cache: Path = Path("checkpoints/teachers")


class LossSettings(_Settings):
    """Weights of the ranking losses, at least one above 0; 0 leaves one out.

    ``info_nce`` needs relevant documents and passes over sources without.
    """

    kl: float = Field(default=1.0, ge=0)
    margin_mse: float = Field(default=0.0, ge=0)
    info_nce: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.kl + self.margin_mse + self.info_nce:
            raise ValueError("one of kl, margin_mse and info_nce must be above 0")
        return self


class SparsitySettings(_Settings):
    """What keeps rows sparse.

    Attributes:
        regulariser: ``flops``, ``idf-flops`` or ``df-flops``.
        weight: Its weight once warmed up.
        warm_up: Share of the steps in which the weight grows quadratically.
        mask_rows_up_to: Active dimensions up to which a row is not penalised; 0 for all rows.
        random_dimensions: Columns per step in which the penalty is estimated.
        target_dims: Mean active dimensions of a document to hold: once warmed up, the weight
            grows while rows have more and falls while they have fewer. 0 keeps the weight.
    """

    regulariser: Regulariser = "flops"
    weight: float = Field(default=0.001, ge=0)
    warm_up: float = Field(default=0.33, ge=0, le=1)
    mask_rows_up_to: int = Field(default=0, ge=0)
    random_dimensions: int = Field(default=1024, ge=1)
    target_dims: float = Field(default=0.0, ge=0)


class ScheduleSettings(_Settings):
    """Steps and batches.

    Attributes:
        steps: Optimiser steps.
        queries: Queries of a micro-batch, all of one source.
        neighbourhood: Queries of a micro-batch are drawn from so many that are nearest to one of
            them in the dense teacher's space; 0, and without such a teacher, from all of a source.
        negatives: Mined negatives per query; the documents of the other queries are candidates
            too.
        negative_depth: Negatives are drawn from the first so many that were mined.
        accumulate: Micro-batches per step, each of a source drawn by its weight.
        learning_rate: Highest rate, reached after ``warm_up`` and falling linearly to 0.
        embedding_rate_share: Rate of the word embeddings and the vocabulary head, as a share of
            it. Adam moves the row of a word that few batches have by as much as any other.
        scalar_learning_rate: The same for the weight of the learned part and the temperature.
        query_table_learning_rate: The same for the query weights (Li-LSR); 0 keeps the idf.
        warm_up: Share of the steps.
        weight_decay: AdamW's.
        clip: Largest norm of the gradient.
    """

    steps: int = Field(default=2000, ge=1)
    queries: int = Field(default=32, ge=2)
    neighbourhood: int = Field(default=0, ge=0)
    negatives: int = Field(default=3, ge=0)
    negative_depth: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=4e-5, gt=0)
    embedding_rate_share: float = Field(default=1.0, ge=0)
    scalar_learning_rate: float = Field(default=1e-3, ge=0)
    query_table_learning_rate: float = Field(default=0.0, ge=0)
    warm_up: float = Field(default=0.03, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)


class GuardSettings(_Settings):
    """When a run is given up.

    Attributes:
        fewest_dims: Mean active dimensions below which the model says too little ...
        most_dims: ... or above which it is no sparse model any more.
        after: Share of the steps from which on the limits hold.
        patience: Steps over which the mean is taken.
    """

    fewest_dims: float = Field(default=15, ge=0)
    most_dims: float = Field(default=1500, gt=0)
    after: float = Field(default=0.1, ge=0, le=1)
    patience: int = Field(default=50, ge=1)


class ExportSettings(_Settings):
    """How the model is saved for use; by default as docs/default-model.md found best.

    Attributes:
        max_length: Tokens of a document, special ones included; fewer where the network has no
            positions for so many.
        prune: Which small weights of a row are dropped, as ``encoders.pruning`` reads it.
        query_table: ``content`` gives stop words and punctuation of a query no weight, ``corpus``
            gives them their idf as well.
    """

    max_length: int = Field(default=256, ge=8)
    prune: str = "max_ratio:0.15"
    query_table: Literal["corpus", "content"] = "content"

    @field_validator("prune")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            return str(Pruning.parse(value))
        except EncoderError as error:
            raise ValueError(str(error)) from error


class TrainingConfig(_Settings):
    """All of a training run; the same configuration and seed give the same model on one machine.

    Attributes:
        initial: Checkpoint to start from, any layout of ``encoders.checkpoint``.
        output: Directory of the run: log, checkpoints, models.
        base: The BM25 part whose score is added to the learned one during training, because it
            will stand beside it in the index.
        beside_base: Whether that score is added at all. Without it the learned part is taught to
            rank alone, also what words do already; mined negatives and dev figures keep the base.
        part_weight: Weight of the learned part to start from; it is trained.
        temperature: Factor of the whole score to start from; it is trained.
        activation: ``relu`` or ``log1p_relu``; the checkpoint's own by default.
        max_length: Tokens of a document, special ones included.
        seed: Of everything random.
        threads: Of torch.
        loaders: Processes that draw batches and look up the teachers' scores ahead of the
            network; 0 does it in between. A GPU needs several, or it waits.
        precision: Of the products of networks, the teachers' included; weights, and the head
            that is trained, stay float32. On a CPU ``bfloat16`` is fast with AVX512-BF16 or AMX
            and slow without.
        log_every: Steps between lines of the log.
        save_every: Steps between checkpoints to resume from.
        evaluate_every: Steps between evaluations on the dev sets; 0 for none.
        sources: Training text.
        dev: Text to evaluate on, in the same form; nothing of it may be trained on. The weight
            of such a source is that of its figure in the mean.
        dev_max_length: Tokens of a document there.
        exclude: Sources whose queries are left out of training wherever they occur.
        interpolations: Shares of the trained weights, beside the initial ones, to try on the dev
            sets at the end (arXiv 2109.01903).
        dev_part_weights: Weights of the learned part to try there.
        export: How the model is saved for use.
    """

    initial: Path
    output: Path
    base: str = "english-bm25"
    beside_base: bool = True
    part_weight: float = Field(default=0.5, gt=0)
    temperature: float = Field(default=1.0, gt=0)
    activation: Activation | None = None
    max_length: int = Field(default=128, ge=8, le=512)
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1)
    loaders: int = Field(default=0, ge=0)
    precision: Precision = "float32"
    log_every: int = Field(default=20, ge=1)
    save_every: int = Field(default=100, ge=1)
    evaluate_every: int = Field(default=0, ge=0)
    sources: tuple[Source, ...] = Field(min_length=1)
    dev: tuple[Source, ...] = ()
    dev_max_length: int = Field(default=256, ge=8, le=512)
    exclude: tuple[Source, ...] = ()
    teachers: TeacherSettings = TeacherSettings()
    loss: LossSettings = LossSettings()
    sparsity: SparsitySettings = SparsitySettings()
    schedule: ScheduleSettings = ScheduleSettings()
    guards: GuardSettings = GuardSettings()
    interpolations: tuple[float, ...] = (0.5, 0.75, 1.0)
    dev_part_weights: tuple[float, ...] = (0.25, 0.35, 0.5, 0.7, 1.0)
    export: ExportSettings = ExportSettings()


def read_config(path: Path, **overrides: Any) -> TrainingConfig:
    """Reads a TOML file; paths in it are relative to the working directory.

    Args:
        path: The file.
        **overrides: Top-level values that win over the file's.

    Raises:
        TrainingError: The file cannot be read, or a setting is unknown or out of range.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read as TOML: {error}.") from error
    try:
        return TrainingConfig(**(content | overrides))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise TrainingError(
            f"{path}: {place}: {first['msg']} (got {first.get('input')!r})"
            + (
                f", and {error.error_count() - 1} more problems."
                if error.error_count() > 1
                else "."
            )
        ) from error
