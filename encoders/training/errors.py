"""Errors of training."""

from __future__ import annotations

from encoders.errors import EncoderError


class TrainingError(EncoderError):
    """Training cannot start or go on: its data, its settings or its checkpoints do not fit."""


class CollapseError(TrainingError):
    """Training was stopped because the model had stopped being a useful sparse encoder."""
