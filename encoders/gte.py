"""GTE as it was first published, read as the architecture of the same network in transformers.

Checkpoints of ``model_type`` ``new`` (GTE-en-MLM, GTE-multilingual, and OpenSearch's doc-v3-gte,
which was trained from the former) bring their network as code beside the weights. That code is
never run: transformers has the network as ``gte``, and only the settings have to be told in its
words. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from encoders.errors import CheckpointError

FIRST_MODEL_TYPE = "new"
MODEL_TYPE = "gte"

# Settings that decide shapes or results, with what the published code takes where one is missing.
_CARRIED: Mapping[str, Any] = {
    "vocab_size": 30528,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 2048,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
}

# Other values give another network, which transformers does not have.
_REQUIRED: Mapping[str, Any] = {
    "position_embedding_type": "rope",
    "layer_norm_type": "layer_norm",
    "logn_attention_scale": False,
}

_DEFAULT_THETA = 10_000.0
_LARGEST = 1e12


def gte_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of transformers' GTE for a ``config.json`` of ``model_type`` ``new``.

    How the published code packs its matrices and pads its batches (``pack_qkv``,
    ``unpad_inputs``, ``use_memory_efficient_attention``) changes no result, and is passed over.

    Args:
        config: Content of ``config.json``.

    Raises:
        CheckpointError: A setting asks for a variant of the network that transformers lacks, or
            has no valid value.

    >>> gte_settings({"model_type": "new", "rope_theta": 160000})["rope_parameters"]
    {'rope_type': 'default', 'rope_theta': 160000.0}
    """
    for key, value in _REQUIRED.items():
        found = config.get(key, value)
        if found != value:
            raise CheckpointError(
                f"config.json: {key} must be {value!r}, got {found!r}; other variants of the "
                f"network of model_type {FIRST_MODEL_TYPE!r} are not supported, use another "
                "checkpoint."
            )
    settings = {key: config.get(key, default) for key, default in _CARRIED.items()}
    return settings | {"model_type": MODEL_TYPE, "rope_parameters": _rotary(config, settings)}


def _rotary(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the rotary positions.

    NTK scaling by s ("fixed", https://kexue.fm/archives/9706) divides the frequency of pair i of
    d dimensions by ``s**((2*i + 2) / d)``. That is a base s times as large, with all frequencies
    divided by ``s**(2 / d)`` on top: what transformers calls linear scaling.
    """
    theta = _number("rope_theta", config.get("rope_theta", _DEFAULT_THETA), 1)
    scaling = config.get("rope_scaling")
    if scaling is None:
        return {"rope_type": "default", "rope_theta": theta}
    kind = scaling.get("type", scaling.get("rope_type")) if isinstance(scaling, dict) else None
    if kind != "ntk" or scaling.get("mixed_b") is not None:
        raise CheckpointError(
            "config.json: rope_scaling must be null or of type 'ntk' with a factor and without "
            f"mixed_b for model_type {FIRST_MODEL_TYPE!r}, got {scaling!r}; use another checkpoint."
        )
    factor = _number("rope_scaling: factor", scaling.get("factor"), 1)
    width = _whole("hidden_size", settings) // _whole("num_attention_heads", settings)
    return {
        "rope_type": "linear",
        "rope_theta": theta * factor,
        "factor": factor ** (2 / max(width, 1)),
    }


def _number(key: str, value: Any, least: float) -> float:
    valid = isinstance(value, int | float) and not isinstance(value, bool)
    if not valid or not least <= value < _LARGEST:
        raise CheckpointError(
            f"config.json: {key} must be a number from {least:g} to {_LARGEST:g}, got {value!r}; "
            "copy the file again from the checkpoint's source."
        )
    return float(value)


def _whole(key: str, settings: Mapping[str, Any]) -> int:
    value = settings[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(
            f"config.json: {key} must be a whole number from 1, got {value!r}; copy the file again "
            "from the checkpoint's source."
        )
    return value
