"""Weights to 8-bit impacts.

Reference: ``kernels.reference.quantise``.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def quantise(weights, scale, impacts):  # type: ignore[no-untyped-def]
    """Rounds each weight to the nearest multiple of ``scale``, within 1 to 255.

    A positive weight never becomes 0, so that what was indexed can be found.

    Args:
        weights: float32[n], > 0.
        scale: Weight of one step.
        impacts: uint8[n], filled.

    Returns:
        How many weights lie above 255.5 steps and were cut.
    """
    saturated = 0
    for i in range(len(weights)):
        steps = np.rint(np.float64(weights[i]) / scale)
        if steps > 255:
            saturated += 1
            steps = 255.0
        impacts[i] = np.uint8(max(steps, 1.0))
    return saturated
