"""BERT with a masked-LM head (arXiv 1810.04805), with torch alone.

transformers' class of the same name computes the same, but importing it takes 230 MiB and seconds,
most of them for what it brings along to compile and to distribute models. Modules and parameters
have its names, and the methods are those of its classes, so that whoever is given a network need
not know which of the two it is.
"""

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

_DEFAULTS: Mapping[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
}
"""What transformers assumes of a ``config.json`` that does not say; sizes first."""

_SIZES = tuple(_DEFAULTS)[:7]

_ELSEWHERE: Mapping[str, Any] = {
    "is_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "position_embedding_type": "absolute",
}
"""Settings of variants, which only transformers has, and their values in plain BERT."""


def is_plain_bert(config: Mapping[str, Any]) -> bool:
    """Whether this module computes the network of a ``config.json``.

    A configuration with anything unusual or wrong in it is left to transformers, which knows more
    and says what is wrong.

    >>> is_plain_bert({"model_type": "bert", "hidden_size": 128, "num_attention_heads": 2})
    True
    >>> is_plain_bert({"model_type": "bert", "is_decoder": True})
    False
    """
    settings = {**_DEFAULTS, **config}
    padding = settings["pad_token_id"]
    return (
        config.get("model_type") == "bert"
        and all(config.get(name, plain) == plain for name, plain in _ELSEWHERE.items())
        and "embedding_size" not in config
        and all(type(settings[name]) is int and settings[name] > 0 for name in _SIZES)
        and settings["hidden_size"] % settings["num_attention_heads"] == 0
        and settings["hidden_act"] in ACTIVATIONS
        and type(settings["layer_norm_eps"]) is float
        and type(settings["tie_word_embeddings"]) is bool
        and (padding is None or (type(padding) is int and 0 <= padding < settings["vocab_size"]))
    )


class MaskedLMOutput(NamedTuple):
    """What the network computes.

    Attributes:
        logits: float32[B, L, V].
    """

    logits: torch.Tensor


class BertForMaskedLM(nn.Module):  # type: ignore[misc]
    """The network, in evaluation mode; its weights are arbitrary until they are loaded.

    No dropout is ever applied.

    Attributes:
        config: ``pad_token_id``, as transformers' networks have it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Builds it.

        Args:
            config: Content of a ``config.json`` of which :func:`is_plain_bert` is true.
        """
        super().__init__()
        settings = SimpleNamespace(**{**_DEFAULTS, **config})
        self.config = SimpleNamespace(pad_token_id=settings.pad_token_id)
        self.bert = _named(embeddings=_Embeddings(settings), encoder=_Encoder(settings))
        self.cls = _named(predictions=_Predictions(settings))
        if settings.tie_word_embeddings:
            predictions = self.cls.predictions
            predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight
            predictions.decoder.bias = predictions.bias
        self.eval()

    def get_input_embeddings(self) -> nn.Module:
        """The table of word embeddings."""
        return self.bert.embeddings.word_embeddings

    def set_input_embeddings(self, table: nn.Module) -> None:
        """Puts another table of word embeddings in its place."""
        self.bert.embeddings.word_embeddings = table

    def get_output_embeddings(self) -> nn.Module:
        """The projection onto the vocabulary."""
        return self.cls.predictions.decoder

    def set_attn_implementation(self, name: str) -> None:
        """Attention as torch's fused product (``sdpa``, the default) or spelled out (``eager``)."""
        self.bert.encoder.is_eager = name == "eager"

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
            inputs_embeds = self.bert.embeddings.word_embeddings(input_ids)
        states = self.bert.encoder(self.bert.embeddings(inputs_embeds), attention_mask)
        return MaskedLMOutput(self.cls.predictions(states))


def _named(**children: nn.Module) -> nn.Module:
    """A module without a computation of its own, for the names of those in it."""
    parent = nn.Module()
    for name, child in children.items():
        parent.add_module(name, child)
    return parent


class _Linear(nn.Linear):  # type: ignore[misc]
    def reset_parameters(self) -> None:
        """Draws nothing: the weights will be loaded."""


def _embedding(count: int, width: int, padding: int | None = None) -> nn.Embedding:
    # Drawing numbers without memory, for the outline of a network, would import torch's compiler.
    table = torch.empty(count, width)
    return nn.Embedding.from_pretrained(table, freeze=False, padding_idx=padding)


class _Embeddings(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        width = settings.hidden_size
        self.word_embeddings = _embedding(settings.vocab_size, width, settings.pad_token_id)
        self.position_embeddings = _embedding(settings.max_position_embeddings, width)
        self.token_type_embeddings = _embedding(settings.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=settings.layer_norm_eps)
        # Some checkpoints hold these. Numbering them without memory would import sympy.
        places = torch.arange(settings.max_position_embeddings, device="cpu")[None]
        self.register_buffer("position_ids", places, persistent=False)
        self.register_buffer("token_type_ids", torch.zeros_like(places), persistent=False)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        beginning = slice(words.shape[1])
        types = self.token_type_embeddings(self.token_type_ids[:, beginning])
        places = self.position_embeddings(self.position_ids[:, beginning])
        normed: torch.Tensor = self.LayerNorm(words + types + places)
        return normed


class _Encoder(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(settings) for _ in range(settings.num_hidden_layers))
        self.is_eager = False

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        allowed = None
        if mask is not None and self.is_eager:
            # Added to the scores, without a look at the values, which a trace would take for fixed.
            lowest = torch.finfo(states.dtype).min
            allowed = (1 - mask[:, None, None].to(states.dtype)) * lowest
        elif mask is not None and not bool(mask.all()):
            allowed = mask[:, None, None].bool()
        for layer in self.layer:
            states = layer(states, allowed, self.is_eager)
        return states


class _Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        width, inner = settings.hidden_size, settings.intermediate_size
        self.attention = _named(
            self=_SelfAttention(width, settings.num_attention_heads),
            output=_normed_layer(width, width, settings.layer_norm_eps),
        )
        self.intermediate = _named(dense=_Linear(width, inner))
        self.output = _normed_layer(inner, width, settings.layer_norm_eps)
        self.activation = ACTIVATIONS[settings.hidden_act]

    def forward(
        self, states: torch.Tensor, allowed: torch.Tensor | None, is_eager: bool
    ) -> torch.Tensor:
        mixed = self.attention.self(states, allowed, is_eager)
        after = self.attention.output
        states = after.LayerNorm(after.dense(mixed) + states)
        inner = self.activation(self.intermediate.dense(states))
        normed: torch.Tensor = self.output.LayerNorm(self.output.dense(inner) + states)
        return normed


class _SelfAttention(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = _Linear(width, width)
        self.key = _Linear(width, width)
        self.value = _Linear(width, width)

    def forward(
        self, states: torch.Tensor, allowed: torch.Tensor | None, is_eager: bool
    ) -> torch.Tensor:
        query, key, value = (
            layer(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        if is_eager:
            scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
            if allowed is not None:
                scores = scores + allowed
            mixed = scores.softmax(-1) @ value
        else:
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, allowed)
        return mixed.transpose(1, 2).flatten(2)


class _Predictions(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        width = settings.hidden_size
        self.transform = _normed_layer(width, width, settings.layer_norm_eps)
        self.decoder = _Linear(width, settings.vocab_size)
        self.bias = nn.Parameter(torch.zeros(settings.vocab_size))
        self.activation = ACTIVATIONS[settings.hidden_act]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        inner = self.activation(self.transform.dense(states))
        logits: torch.Tensor = self.decoder(self.transform.LayerNorm(inner))
        return logits


def _normed_layer(inputs: int, width: int, eps: float) -> nn.Module:
    return _named(dense=_Linear(inputs, width), LayerNorm=nn.LayerNorm(width, eps=eps))
