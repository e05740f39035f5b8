"""Penalties that make document weights sparse."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Regulariser = Literal["flops", "idf-flops", "df-flops"]

_SMALLEST_IDF = 0.1


def flops(
    weights: torch.Tensor,
    scale: torch.Tensor | None = None,
    mask_rows_up_to: float = 0,
    row_dims: torch.Tensor | None = None,
) -> torch.Tensor:
    """``sum_v (scale_v * mean_i w_iv)^2`` over the columns given (Paria et al. 2020).

    Args:
        weights: float32[B, C], >= 0.
        scale: float32[C]; ones by default. See ``idf_scale`` and ``df_scale``.
        mask_rows_up_to: l0 mask (arXiv 2504.14839): a row with at most that many active
            dimensions is sparse enough, adds nothing, and still counts in the mean.
        row_dims: float32[B], active dimensions of each row, where ``weights`` are a sample of
            the columns; counted in ``weights`` otherwise.
    """
    if mask_rows_up_to:
        dims = (weights > 0).sum(dim=1) if row_dims is None else row_dims
        weights = weights * (dims > mask_rows_up_to)[:, None]
    means = weights.mean(dim=0)
    return (means if scale is None else means * scale).square().sum()


def idf_scale(idf: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale of idf-aware FLOPS: 1 / idf, at most 10, with mean square 1.

    A score that multiplies d_t by idf(t) and a penalty that does not (arXiv 2411.04403) are, in
    terms of the contribution idf(t) d_t, a penalty on contribution / idf(t): common terms pay
    more. This gives the same preference to scores without idf, and more of it to those with.
    """
    scale = 1 / np.maximum(idf.astype(np.float64), _SMALLEST_IDF)
    normal: NDArray[np.float32] = (scale / np.sqrt(np.mean(scale**2))).astype(np.float32)
    return normal


def df_scale(
    doc_share: NDArray[np.floating], alpha: float = 0.1, beta: float = 10.0
) -> NDArray[np.float32]:
    """Scale of DF-FLOPS (arXiv 2505.15070): ``1 / (1 + (x^(log_alpha 2) - 1)^beta)``.

    Args:
        doc_share: x, share of the documents in which each entry is active, 0 to 1.
        alpha: Share at which the scale is 1/2.
        beta: How steep the step is.

    Returns:
        float32 array, near 0 for rare entries and near 1 for frequent ones.
    """
    share = np.clip(np.asarray(doc_share, np.float64), 1e-9, 1.0)
    # log_alpha 2 < 0: x^(log_alpha 2) falls from infinity to 1 as x grows to 1.
    ratio = np.minimum(np.power(share, math.log(2, alpha)) - 1, 1e30 ** (1 / beta))
    scale: NDArray[np.float32] = (1 / (1 + np.power(ratio, beta))).astype(np.float32)
    return scale


def quadratic_warm_up(step: int, steps: int) -> float:
    """``((step + 1) / steps)^2`` until it reaches 1."""
    return min(1.0, (step + 1) / max(1, steps)) ** 2
