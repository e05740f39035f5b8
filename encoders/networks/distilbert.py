"""DistilBERT with a masked-LM head (arXiv 1910.01108), with torch alone; see ``bert``."""

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
    "dim": 768,
    "n_layers": 6,
    "n_heads": 12,
    "hidden_dim": 3072,
    "max_position_embeddings": 512,
    "activation": "gelu",
    "pad_token_id": 0,
    "tie_word_embeddings": True,
}
"""What transformers assumes of a ``config.json`` that does not say."""

_VARIANTS: Mapping[str, Any] = {
    "chunk_size_feed_forward": 0,
    # Other names of settings, of which transformers knows which one counts.
    "hidden_size": None,
    "num_attention_heads": None,
    "num_hidden_layers": None,
}

_EPS = 1e-12


def is_plain_distilbert(config: Mapping[str, Any]) -> bool:
    """Whether this module computes the network of a ``config.json``.

    What is unusual or wrong is left to transformers, which knows more and says what is wrong.

    >>> is_plain_distilbert({"model_type": "distilbert", "dim": 128, "n_heads": 2})
    True
    """
    settings = {**_DEFAULTS, **config}
    return (
        config.get("model_type") == "distilbert"
        and is_plain(config, _DEFAULTS, _VARIANTS)
        and settings["dim"] % settings["n_heads"] == 0
        and settings["activation"] in tuple(ACTIVATIONS)
    )


class DistilBertForMaskedLM(MaskedLM):
    """The network. Sinusoidal positions are weights like others: checkpoints hold them."""

    base_model_prefix = "distilbert"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Builds it.

        Args:
            config: Content of a ``config.json`` of which :func:`is_plain_distilbert` is true.
        """
        settings = SimpleNamespace(**{**_DEFAULTS, **config})
        super().__init__(settings.pad_token_id)
        width = settings.dim
        self.activation = ACTIVATIONS[settings.activation]
        layers = nn.ModuleList(_Layer(settings) for _ in range(settings.n_layers))
        self.distilbert = group(embeddings=_Embeddings(settings), transformer=group(layer=layers))
        self.vocab_transform = Linear(width, width)
        self.vocab_layer_norm = nn.LayerNorm(width, eps=_EPS)
        self.vocab_projector = Linear(width, settings.vocab_size)
        if settings.tie_word_embeddings:
            self.vocab_projector.weight = self.embeddings.word_embeddings.weight
        self.eval()

    @property
    def embeddings(self) -> nn.Module:
        """Of words and places."""
        return self.distilbert.embeddings

    @property
    def layers(self) -> nn.ModuleList:
        """From the first to the last."""
        return self.distilbert.transformer.layer

    def head(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of the last layer's states."""
        inner = self.activation(self.vocab_transform(states))
        logits: torch.Tensor = self.vocab_projector(self.vocab_layer_norm(inner))
        return logits

    def get_output_embeddings(self) -> nn.Module:
        """The projection onto the vocabulary."""
        return self.vocab_projector


class _Embeddings(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        self.word_embeddings = embedding(settings.vocab_size, settings.dim, settings.pad_token_id)
        self.position_embeddings = embedding(settings.max_position_embeddings, settings.dim)
        self.LayerNorm = nn.LayerNorm(settings.dim, eps=_EPS)
        places = numbered(settings.max_position_embeddings)
        self.register_buffer("position_ids", places, persistent=False)  # some checkpoints hold it

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        places = self.position_embeddings(self.position_ids[:, : words.shape[1]])
        normed: torch.Tensor = self.LayerNorm(words + places)
        return normed


class _Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        width = settings.dim
        names = ("q_lin", "k_lin", "v_lin", "out_lin")
        self.attention = group(**{name: Linear(width, width) for name in names})
        self.sa_layer_norm = nn.LayerNorm(width, eps=_EPS)
        self.ffn = group(
            lin1=Linear(width, settings.hidden_dim), lin2=Linear(settings.hidden_dim, width)
        )
        self.output_layer_norm = nn.LayerNorm(width, eps=_EPS)
        self.heads = settings.n_heads
        self.activation = ACTIVATIONS[settings.activation]

    def forward(
        self, states: torch.Tensor, keys: torch.Tensor | None, *, is_eager: bool
    ) -> torch.Tensor:
        products = self.attention
        mixed = attention(
            products.q_lin(states),
            products.k_lin(states),
            products.v_lin(states),
            self.heads,
            keys,
            is_eager=is_eager,
        )
        states = self.sa_layer_norm(products.out_lin(mixed) + states)
        inner = self.ffn.lin2(self.activation(self.ffn.lin1(states)))
        normed: torch.Tensor = self.output_layer_norm(inner + states)
        return normed
