"""Named errors of the encoders."""


class EncoderError(Exception):
    """An encoder cannot be made or cannot encode; the message says what, got and how to fix."""


class UnknownEncoderError(EncoderError):
    """No encoder is registered under this name."""


class CheckpointError(EncoderError):
    """A checkpoint directory cannot be loaded."""


class ExpressionError(EncoderError):
    """An encoder expression such as ``english-bm25 + 0.5*splade:DIR`` cannot be parsed."""
