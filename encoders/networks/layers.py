"""What BERT and its kin are made of, in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn

ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": nn.functional.gelu,
    "relu": nn.functional.relu,
}

_LARGEST_SIZE = 1 << 20


class MaskedLMOutput(NamedTuple):
    """What a network computes.

    Attributes:
        logits: float[B, L, V]; the states in front of a vocabulary projection that was cut off.
    """

    logits: torch.Tensor


class MaskedLM(nn.Module):  # type: ignore[misc]
    """A network from words to logits, in evaluation mode, with the methods of transformers' ones.

    Its weights are arbitrary until they are loaded, and no dropout is ever applied. Subclasses say
    where ``embeddings``, ``layers`` and ``head`` are.

    Attributes:
        base_model_prefix: Of the names of all parameters but the head's.
        config: ``pad_token_id``, as transformers' networks have it.
    """

    base_model_prefix: str
    embeddings: nn.Module
    layers: nn.ModuleList

    def __init__(self, padding: int | None) -> None:
        super().__init__()
        self.config = SimpleNamespace(pad_token_id=padding)
        self._is_eager = False

    def head(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of the last layer's states."""
        raise NotImplementedError

    def get_input_embeddings(self) -> nn.Module:
        """The table of word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, table: nn.Module) -> None:
        """Puts another table of word embeddings in its place."""
        self.embeddings.word_embeddings = table

    def set_attn_implementation(self, name: str) -> None:
        """Attention as torch's fused product (``sdpa``, the default) or spelled out (``eager``)."""
        self._is_eager = name == "eager"

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> MaskedLMOutput:
        """Logits of texts.

        Args:
            input_ids: int64[B, L] tokens.
            attention_mask: int64[B, L], 0 for padding; by default there is none.
            inputs_embeds: float32[B, L, d] word embeddings in place of tokens.
        """
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        return MaskedLMOutput(self.head(self.states(inputs_embeds, attention_mask)))

    def states(self, words: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """float32[B, L, d] of the last layer, from word embeddings."""
        states: torch.Tensor = self.embeddings(words)
        keys = keys_to_read(mask, states, is_eager=self._is_eager)
        for layer in self.layers:
            states = layer(states, keys, is_eager=self._is_eager)
        return states


class Linear(nn.Linear):  # type: ignore[misc]
    """A linear layer whose weights are arbitrary until they are loaded."""

    def reset_parameters(self) -> None:
        """Draws nothing."""


def embedding(count: int, width: int, padding: int | None = None) -> nn.Embedding:
    """A table whose weights are arbitrary until they are loaded.

    Args:
        count: Rows.
        width: Of a row.
        padding: Row whose look-up gives no gradient.
    """
    # Drawing numbers without memory, for the outline of a network, would import torch's compiler.
    table = torch.empty(count, width)
    return nn.Embedding.from_pretrained(table, freeze=False, padding_idx=padding)


def numbered(count: int) -> torch.Tensor:
    """int64[1, count]: 0, 1, 2, ..."""
    # Numbering them without memory would import sympy.
    return torch.arange(count, device="cpu")[None]


def group(**children: nn.Module) -> nn.Module:
    """A module without a computation of its own, for the names of those in it."""
    parent = nn.Module()
    for name, child in children.items():
        parent.add_module(name, child)
    return parent


def keys_to_read(
    mask: torch.Tensor | None, states: torch.Tensor, *, is_eager: bool
) -> torch.Tensor | None:
    """What :func:`attention` takes for a mask.

    Args:
        mask: int64[B, L], 0 for padding; ``None`` if there is none.
        states: float[B, L, d].
        is_eager: Whether attention will be spelled out.
    """
    if mask is None:
        return None
    if is_eager:
        # Added to the scores, without a look at the values, which a trace would take for fixed.
        return (1 - mask[:, None, None].to(states.dtype)) * torch.finfo(states.dtype).min
    return None if bool(mask.all()) else mask[:, None, None].bool()


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    heads: int,
    keys: torch.Tensor | None,
    *,
    is_eager: bool,
) -> torch.Tensor:
    """Scaled dot-product attention of several heads (arXiv 1706.03762).

    Args:
        query: float[B, L, d].
        key: float[B, L, d].
        value: float[B, L, d].
        heads: A divisor of d.
        keys: As :func:`keys_to_read` gives it.
        is_eager: Spelled out in place of torch's fused product.

    Returns:
        float[B, L, d].
    """
    query, key, value = (
        states.unflatten(-1, (heads, -1)).transpose(1, 2) for states in (query, key, value)
    )
    if is_eager:
        scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        if keys is not None:
            scores = scores + keys
        mixed = scores.softmax(-1) @ value
    else:
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, keys)
    return mixed.transpose(1, 2).flatten(2)


def is_plain(
    config: Mapping[str, Any], defaults: Mapping[str, Any], variants: Mapping[str, Any]
) -> bool:
    """Whether settings are those of a network without anything unusual or wrong in it.

    Args:
        config: Content of a ``config.json``.
        defaults: Settings and what is assumed where it has none, sizes as numbers above 0.
        variants: Settings of variants, and their values where there is no variant.
    """
    settings = {**defaults, **config}
    sizes = [settings[name] for name, size in defaults.items() if type(size) is int and size > 0]
    padding = settings["pad_token_id"]
    return (
        all(config.get(name, plain) == plain for name, plain in variants.items())
        and all(type(size) is int and 0 < size <= _LARGEST_SIZE for size in sizes)
        and type(settings["tie_word_embeddings"]) is bool
        and (padding is None or (type(padding) is int and 0 <= padding < settings["vocab_size"]))
    )
