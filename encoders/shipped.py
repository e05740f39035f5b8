"""The model that comes with Winnow: ``splade`` without a directory.

``models/english/`` is an exported encoder (see ``encoders.exported``), described in
``models/README.md``.
"""

from __future__ import annotations

from pathlib import Path

from encoders.exported import read_exported

SHIPPED_MODEL = Path(__file__).parent / "models" / "english"

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
    config, _, _ = read_exported(SHIPPED_MODEL)
    weight = "" if config.part_weight == 1 else f"{config.part_weight:g}*"
    return f"english-bm25 + {BIGRAM_WEIGHT:g}*english-bigrams-bm25 + {weight}splade"
