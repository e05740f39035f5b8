"""BERT with a masked-LM head (arXiv 1810.04805), with torch alone.

transformers' class of the same name computes the same, but importing it takes 230 MiB and seconds,
most of them for what it brings along to compile and to distribute models. Modules and parameters
have its names, and the methods are those of its classes, so that whoever is given a network need
not know which of the two it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from encoders.networks.layers import (
    ACTIVATIONS,
    Linear,
    MaskedLM,
    attention,
    embedding,
    group,
    is_plain,
    numbered,
)

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
"""What transformers assumes of a ``config.json`` that does not say."""

_VARIANTS: Mapping[str, Any] = {
    "is_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "position_embedding_type": "absolute",
    "embedding_size": None,
}


def is_plain_bert(config: Mapping[str, Any]) -> bool:
    """Whether this module computes the network of a ``config.json``.

    What is unusual or wrong is left to transformers, which knows more and says what is wrong.

    >>> is_plain_bert({"model_type": "bert", "hidden_size": 128, "num_attention_heads": 2})
    True
    >>> is_plain_bert({"model_type": "bert", "is_decoder": True})
    False
    """
    settings = {**_DEFAULTS, **config}
    return (
        config.get("model_type") == "bert"
        and is_plain(config, _DEFAULTS, _VARIANTS)
        and settings["hidden_size"] % settings["num_attention_heads"] == 0
        and settings["hidden_act"] in tuple(ACTIVATIONS)  # which may be anything, a list too
        and type(settings["layer_norm_eps"]) is float
    )


class BertForMaskedLM(MaskedLM):
    """The network."""

    base_model_prefix = "bert"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Builds it.

        Args:
            config: Content of a ``config.json`` of which :func:`is_plain_bert` is true.
        """
        settings = SimpleNamespace(**{**_DEFAULTS, **config})
        super().__init__(settings.pad_token_id)
        layers = nn.ModuleList(_Layer(settings) for _ in range(settings.num_hidden_layers))
        self.bert = group(embeddings=_Embeddings(settings), encoder=group(layer=layers))
        self.cls = group(predictions=_Predictions(settings))
        if settings.tie_word_embeddings:
            predictions = self.cls.predictions
            predictions.decoder.weight = self.embeddings.word_embeddings.weight
            predictions.decoder.bias = predictions.bias
        self.eval()

    @property
    def embeddings(self) -> nn.Module:
        """Of words, places and kinds of text."""
        return self.bert.embeddings

    @property
    def layers(self) -> nn.ModuleList:
        """From the first to the last."""
        return self.bert.encoder.layer

    def head(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of the last layer's states."""
        logits: torch.Tensor = self.cls.predictions(states)
        return logits

    def get_output_embeddings(self) -> nn.Module:
        """The projection onto the vocabulary."""
        return self.cls.predictions.decoder


class _Embeddings(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        width = settings.hidden_size
        self.word_embeddings = embedding(settings.vocab_size, width, settings.pad_token_id)
        self.position_embeddings = embedding(settings.max_position_embeddings, width)
        self.token_type_embeddings = embedding(settings.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=settings.layer_norm_eps)
        places = numbered(settings.max_position_embeddings)
        self.register_buffer("position_ids", places, persistent=False)  # some checkpoints hold it
        self.register_buffer("token_type_ids", torch.zeros_like(places), persistent=False)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        beginning = slice(words.shape[1])
        types = self.token_type_embeddings(self.token_type_ids[:, beginning])
        places = self.position_embeddings(self.position_ids[:, beginning])
        normed: torch.Tensor = self.LayerNorm(words + types + places)
        return normed


class _Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        width, inner = settings.hidden_size, settings.intermediate_size
        products = {name: Linear(width, width) for name in ("query", "key", "value")}
        self.attention = group(
            self=group(**products), output=_normed_layer(width, width, settings.layer_norm_eps)
        )
        self.intermediate = group(dense=Linear(width, inner))
        self.output = _normed_layer(inner, width, settings.layer_norm_eps)
        self.heads = settings.num_attention_heads
        self.activation = ACTIVATIONS[settings.hidden_act]

    def forward(
        self, states: torch.Tensor, keys: torch.Tensor | None, *, is_eager: bool
    ) -> torch.Tensor:
        products, after = self.attention.self, self.attention.output
        mixed = attention(
            products.query(states),
            products.key(states),
            products.value(states),
            self.heads,
            keys,
            is_eager=is_eager,
        )
        states = after.LayerNorm(after.dense(mixed) + states)
        inner = self.activation(self.intermediate.dense(states))
        normed: torch.Tensor = self.output.LayerNorm(self.output.dense(inner) + states)
        return normed


class _Predictions(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        width = settings.hidden_size
        self.transform = _normed_layer(width, width, settings.layer_norm_eps)
        self.decoder = Linear(width, settings.vocab_size)
        self.bias = nn.Parameter(torch.zeros(settings.vocab_size))
        self.activation = ACTIVATIONS[settings.hidden_act]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        inner = self.activation(self.transform.dense(states))
        logits: torch.Tensor = self.decoder(self.transform.LayerNorm(inner))
        return logits


def _normed_layer(inputs: int, width: int, eps: float) -> nn.Module:
    return group(dense=Linear(inputs, width), LayerNorm=nn.LayerNorm(width, eps=eps))
