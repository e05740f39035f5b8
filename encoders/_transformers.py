"""The only module that imports transformers.

Hugging Face has a distribution named ``kernels``, which transformers probes for and imports from
while it is itself being imported. This project has a top-level package of the same name, so the
probe can succeed and the import then fails. Answering the probe with "not available" before any
model class is imported keeps the two apart whatever is installed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from encoders.errors import CheckpointError, EncoderError
from encoders.gte import FIRST_MODEL_TYPE, gte_settings


def masked_language_model(config: Mapping[str, Any]) -> Any:
    """A masked language model of an architecture that transformers ships, not yet loaded.

    Nothing is downloaded and no code beside a checkpoint is run: the class comes from
    ``model_type`` alone.

    Args:
        config: Content of the checkpoint's ``config.json``.

    Returns:
        A ``PreTrainedModel`` with a masked-LM head, float32, in evaluation mode; its weights are
        arbitrary until they are loaded.

    Raises:
        EncoderError: transformers is not installed.
        CheckpointError: transformers has no such architecture or refuses the configuration.
    """
    configuration_auto, modeling_auto = _import_transformers()
    first_release = config.get("model_type") == FIRST_MODEL_TYPE
    settings = copy.deepcopy(gte_settings(config) if first_release else dict(config))
    model_type = settings.pop("model_type", None)
    for key in ("auto_map", "torch_dtype", "dtype", "quantization_config"):
        settings.pop(key, None)
    if str(model_type) not in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise CheckpointError(
            f"config.json: the installed transformers has no masked language model of model_type "
            f"{model_type!r}. Code that comes with a checkpoint is never run; use a checkpoint "
            "of a known architecture (bert, distilbert, roberta, modernbert, ...), or a newer "
            "transformers."
        )
    try:
        # Whatever a malformed configuration provokes inside transformers is the file's fault.
        model = modeling_auto.AutoModelForMaskedLM.from_config(
            configuration_auto.AutoConfig.for_model(model_type, **settings)
        )
    except Exception as error:
        raise CheckpointError(
            f"config.json: transformers cannot build a {model_type!r} model from it: {error}. "
            "Copy the file again from the checkpoint's source."
        ) from error
    return model.float().eval()


def _import_transformers() -> tuple[Any, Any]:
    try:
        import transformers.utils
        from transformers.utils import import_utils
    except ImportError as error:
        raise EncoderError(
            f"reading a checkpoint needs the package {error.name or 'transformers'!r}, which "
            "cannot be imported; install it with: pip install 'winnow-search[encode]'"
        ) from error
    for module in (import_utils, transformers.utils):
        module.is_kernels_available = _kernels_are_not_available
    from transformers.models.auto import configuration_auto, modeling_auto

    return configuration_auto, modeling_auto


def _kernels_are_not_available(*_: Any, **__: Any) -> bool:
    return False
