"""Tensors that a checkpoint stores under other names, or in other pieces, than the model has.

transformers renames and splits them while it loads; here the same is done by rule, so that each
stored tensor can still be held against one of the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from encoders.gte import FIRST_MODEL_TYPE, MODEL_TYPE

# Names that TensorFlow-born BERT checkpoints still carry.
_ANYWHERE = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))

_GTE_NAMES = (
    (r"^new\.", "gte."),
    (r"\.encoder\.layer\.", ".layers."),
    (r"\.attention\.((?:qkv|q|k|v|o)_proj)\.", r".self_attn.\1."),
    (r"\.attn_ln\.", ".post_attention_layernorm."),
    (r"\.mlp_ln\.", ".post_mlp_layernorm."),
    (r"^lm_head\.norm\.", "lm_head.layer_norm."),
)

# Stored as one matrix, one above the other.
_GTE_STACKS: Mapping[str, tuple[str, ...]] = {
    ".qkv_proj.": (".q_proj.", ".k_proj.", ".v_proj."),
    ".up_gate_proj.": (".up_proj.", ".gate_proj."),
}

_RENAMED: Mapping[str, tuple[tuple[str, str], ...]] = {
    FIRST_MODEL_TYPE: _GTE_NAMES,
    MODEL_TYPE: _GTE_NAMES,
}

_STACKED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    FIRST_MODEL_TYPE: _GTE_STACKS,
    MODEL_TYPE: _GTE_STACKS,
}


def under_model_names(model_type: str, stored: str, tensor: Any) -> dict[str, Any]:
    """A stored tensor as the model has it: under its name, or in pieces under theirs.

    Args:
        model_type: Of ``config.json``.
        stored: The name in the file.
        tensor: A torch tensor.

    >>> list(under_model_names("bert", "bert.embeddings.LayerNorm.gamma", ...))
    ['bert.embeddings.LayerNorm.weight']
    """
    name = stored
    for pattern, replacement in (*_ANYWHERE, *_RENAMED.get(model_type, ())):
        name = re.sub(pattern, replacement, name)
    for joint, pieces in _STACKED.get(model_type, {}).items():
        if joint in name and tensor.shape[0] % len(pieces) == 0:
            names = (name.replace(joint, piece) for piece in pieces)
            return dict(zip(names, tensor.chunk(len(pieces)), strict=True))
    return {name: tensor}
