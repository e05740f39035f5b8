"""Stops a run that has collapsed, with a reason."""

from __future__ import annotations

import math
from collections import deque

from encoders.training.configuration import GuardSettings
from encoders.training.errors import CollapseError


class CollapseGuard:
    """Watches loss and active dimensions.

    Published training runs fail in two ways: every dimension becomes active, or none does. Both
    show in the mean of the active dimensions long before a run ends.
    """

    def __init__(self, settings: GuardSettings, steps: int) -> None:
        self._settings = settings
        self._first = int(settings.after * steps)
        self.recent: deque[float] = deque(maxlen=settings.patience)
        """Mean active dimensions of the last steps."""

    def check(self, step: int, loss: float, dims: float) -> None:
        """Takes note of one step.

        Raises:
            CollapseError: The loss is not finite, or the mean of the active dimensions over
                ``patience`` steps lies outside the limits.
        """
        if not math.isfinite(loss):
            raise CollapseError(
                f"step {step}: the loss is {loss}; lower learning_rate, or look for damaged "
                "weights in the initial checkpoint."
            )
        self.recent.append(dims)
        if step < self._first or len(self.recent) < self._settings.patience:
            return
        mean = sum(self.recent) / len(self.recent)
        if mean < self._settings.fewest_dims:
            raise CollapseError(
                f"step {step}: {mean:.1f} active dimensions per document, fewer than "
                f"fewest_dims = {self._settings.fewest_dims:g}: the penalty has emptied the rows; "
                "lower sparsity.weight or learning_rate, or set mask_rows_up_to."
            )
        if mean > self._settings.most_dims:
            raise CollapseError(
                f"step {step}: {mean:.0f} active dimensions per document, more than most_dims = "
                f"{self._settings.most_dims:g}: the rows are no longer sparse; raise "
                "sparsity.weight or shorten its warm_up."
            )
