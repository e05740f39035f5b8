"""What a checkpoint's configurations say of pruning and of repeated query tokens. No torch.

sentence-transformers has a place for neither. Where Winnow saves a checkpoint for it
(``encoders.router_layout``), both stand under the key ``winnow`` of
``config_sentence_transformers.json``, which other programs pass over:
``{"winnow": {"prune": "top_k:200", "aggregation": "sum"}}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from encoders.base import Aggregation
from encoders.errors import CheckpointError, EncoderError
from encoders.pruning import Pruning

PRUNE_RATIO = "sparse_prune_ratio"
"""OpenSearch's name of the pruning ``max_ratio``."""

_WINNOW = "winnow"


@dataclass(frozen=True, slots=True)
class RowSettings:
    """What sentence-transformers has no place for.

    Attributes:
        pruning: Which small weights of a document are dropped.
        aggregation: How a query counts a repeated token.
    """

    pruning: Pruning = field(default_factory=Pruning)
    aggregation: Aggregation = "binary"

    def as_json(self) -> dict[str, Any]:
        """Entries of ``config_sentence_transformers.json``, with that which OpenSearch knows."""
        recorded = {"prune": str(self.pruning), "aggregation": self.aggregation}
        known = {PRUNE_RATIO: self.pruning.value} if self.pruning.kind == "max_ratio" else {}
        return {_WINNOW: recorded, **known}


def read_row_settings(
    directory: Path, config: Mapping[str, Any], whole: Mapping[str, Any]
) -> RowSettings:
    """Settings of rows and queries that the files of a checkpoint name.

    Args:
        directory: The checkpoint's, for messages.
        config: Content of ``config.json``.
        whole: Content of ``config_sentence_transformers.json``.

    Raises:
        CheckpointError: A setting is unknown, out of range or given twice with two values.
    """
    ratio = _prune_ratio(directory, {**config, **whole})
    by_ratio = Pruning("max_ratio", ratio) if ratio else Pruning()
    recorded = whole.get(_WINNOW)
    if recorded is None:
        return RowSettings(by_ratio)
    where = f"{directory / 'config_sentence_transformers.json'}: {_WINNOW}"
    if not isinstance(recorded, dict) or not set(recorded) <= {"prune", "aggregation"}:
        raise CheckpointError(
            f"{where} must be an object with prune and aggregation, got {recorded!r}; use the "
            "version of Winnow that saved it, or a newer one."
        )
    try:
        pruning = Pruning.parse(str(recorded.get("prune", by_ratio)))
    except EncoderError as error:
        raise CheckpointError(f"{where}: {error}") from error
    if PRUNE_RATIO in whole and pruning not in (by_ratio, Pruning("max_ratio", ratio)):
        raise CheckpointError(
            f"{where}: prune is {str(pruning)!r}, but {PRUNE_RATIO} beside it is {ratio!r}; change "
            "both, or remove one."
        )
    aggregation = recorded.get("aggregation", "binary")
    if aggregation not in get_args(Aggregation):
        raise CheckpointError(
            f"{where}: aggregation must be 'binary' or 'sum', got {aggregation!r}."
        )
    return RowSettings(pruning, aggregation)


def _prune_ratio(directory: Path, settings: Mapping[str, Any]) -> float:
    ratio = settings.get(PRUNE_RATIO, 0)
    if not isinstance(ratio, int | float) or not 0 <= ratio < 1:
        raise CheckpointError(
            f"{directory}: {PRUNE_RATIO} must be a number from 0 to below 1, got {ratio!r}."
        )
    return float(ratio)
