"""CSR checkpoints: a dense encoder whose vector a sparse autoencoder turns into a few atoms.

The code of a text is ``relu(topk(W (x - b) + c))`` of its sentence embedding x (arXiv 2503.01776).
Queries are codes of the same network, which an index, that answers queries without one, cannot
hold; so these rows are for experiments, evaluation and export, not for ``indexer build``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from encoders.base import Document, EncoderSpec, QuerySide, SparseRows
from encoders.checkpoint_files import content_hash, weight_files
from encoders.csr_layout import read_csr_checkpoint
from encoders.errors import CheckpointError, EncoderError
from encoders.masked_lm import import_torch, usable_device
from encoders.sae_network import SaeNetwork
from encoders.splade_tokenizers import SpladeTokenizers

_BATCH_TOKENS = 1024


class SaeEncoder:
    """Rows over the atoms of a sparse autoencoder, at most k weights each.

    Attributes:
        checkpoint: What the directory's configurations say.
        content_hash: Hash of all that decides the weights.

    >>> encoder = create("sae", "models/csr?neural_queries=true")  # doctest: +SKIP
    >>> encoder.encode_queries(["red planet"]).nnz  # doctest: +SKIP
    """

    name = "sae"

    def __init__(self, directory: Path, device: str | None = None) -> None:
        """Loads a checkpoint.

        Raises:
            CheckpointError: The directory holds no valid CSR checkpoint.
            EncoderError: torch or transformers is not installed, or there is no such device.
        """
        torch = import_torch()
        self.checkpoint = checkpoint = read_csr_checkpoint(directory)
        base = checkpoint.base
        self.tokenizers = SpladeTokenizers(base, base.max_length)
        questions = dataclasses.replace(base, document_prompt=checkpoint.query_prompt)
        self._query_tokenizers = SpladeTokenizers(questions, base.max_length)
        torch_device = usable_device(torch, device)
        files = weight_files(base.model_directory)
        dictionary = weight_files(checkpoint.dictionary_directory)
        configs = [
            base.model_directory / "config.json",
            checkpoint.dictionary_directory / "config.json",
        ]
        self.content_hash = content_hash(
            [*configs, *files, *dictionary],
            [
                self.tokenizers.document_json,
                base.document_prompt.encode(),
                checkpoint.pooling.encode(),
                bytes([checkpoint.normalize_embedding]),
            ],
        )
        self._network = SaeNetwork(checkpoint, self.tokenizers, files, dictionary, torch_device)

    @property
    def spec(self) -> EncoderSpec:
        """Size of the dictionary, atoms per text, content hash."""
        return EncoderSpec(
            kind="sae",
            name=self.name,
            vocabulary=self.checkpoint.hidden_dim,
            aggregation="sum",
            max_length=self.tokenizers.max_length,
            max_weight=None,
            parameters={
                "k": self.checkpoint.k,
                "pooling": self.checkpoint.pooling,
                "max_length": self.tokenizers.max_length,
                "layout": "csr",
                "content_hash": self.content_hash,
                "neural_queries": True,
            },
        )

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Codes of documents, one row each, in order; empty for a text without any token.

        Raises:
            EncoderError: The network computed a number that is not finite.
        """
        return self._encode(self.tokenizers, [document.full_text() for document in documents])

    def encode_queries(self, texts: Sequence[str]) -> SparseRows:
        """Codes of queries by the network, with the checkpoint's prompt for queries.

        Raises:
            EncoderError: The network computed a number that is not finite.
        """
        return self._encode(self._query_tokenizers, texts)

    def token_lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens that each text takes in the encoder, added special tokens included."""
        return self.tokenizers.lengths(texts)

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """Refused: atoms are no tokens, and an index would look queries up by them.

        Raises:
            EncoderError: Always.
        """
        self._refuse_index()

    def query_side(self) -> QuerySide:
        """Refused: there is no table that stands for the network.

        Raises:
            EncoderError: Always.
        """
        self._refuse_index()

    def _refuse_index(self) -> NoReturn:
        raise EncoderError(_needs_network(self.checkpoint.base.directory))

    def _encode(self, tokenizers: SpladeTokenizers, texts: Sequence[str]) -> SparseRows:
        ids = tokenizers.encode(texts)
        order = [i for i in range(len(ids)) if len(ids[i]) > tokenizers.empty_length]
        order.sort(key=lambda i: (-len(ids[i]), i))
        rows = [(np.empty(0, np.uint32), np.empty(0, np.float32))] * len(ids)
        start = 0
        while start < len(order):
            batch = order[start : start + max(1, _BATCH_TOKENS // len(ids[order[start]]))]
            start += len(batch)
            codes = self._network.codes([ids[i] for i in batch])
            for i, row in zip(batch, codes, strict=True):
                rows[i] = row
        return SparseRows(
            np.cumsum([0, *(len(weights) for _, weights in rows)], dtype=np.int64),
            np.concatenate([np.empty(0, np.uint32), *(row[0] for row in rows)]),
            np.concatenate([np.empty(0, np.float32), *(row[1] for row in rows)]),
        )


def create(name: str, argument: str | None = None, **options: Any) -> SaeEncoder:
    """Makes an encoder of a CSR checkpoint, for callers that encode queries by its network.

    Args:
        name: The registered name.
        argument: The directory, with settings: ``DIR?neural_queries=true&device=cpu``.
        **options: The same settings as values, or the ``parameters`` of a spec.

    Raises:
        EncoderError: ``neural_queries=true`` was not asked for, a setting is unknown, or torch is
            not installed.
        CheckpointError: The directory holds no valid CSR checkpoint, or another one than was
            recorded.
    """
    directory, mark, query = (argument or "").strip().rpartition("?")
    if not mark:
        directory, query = query, ""
    settings: dict[str, Any] = dict(item.partition("=")[::2] for item in query.split("&") if item)
    settings |= options
    neural = str(settings.pop("neural_queries", "false")).lower()
    device = settings.pop("device", None)
    recorded = {key: settings.pop(key) for key in _RECORDED if key in settings}
    if settings or neural not in ("true", "false"):
        raise EncoderError(
            f"sae cannot read the setting {next(iter(settings), 'neural_queries')!r}; it knows "
            "neural_queries=true|false and device."
        )
    if neural != "true":
        read_csr_checkpoint(Path(directory))  # what is wrong with the directory comes first
        raise EncoderError(_needs_network(Path(directory)))
    encoder = SaeEncoder(Path(directory), device)
    for key, value in recorded.items():
        found = encoder.spec.parameters[key]
        if value != found:
            raise CheckpointError(
                f"{directory} is not the checkpoint that was recorded: {key} is {found!r}, not "
                f"{value!r}. Give the directory of that checkpoint."
            )
    return encoder


_RECORDED = ("k", "pooling", "max_length", "layout", "content_hash")


def _needs_network(directory: Path) -> str:
    return (
        f"{directory} is a CSR checkpoint: its queries need the network as its documents do, and "
        "an index answers queries without one. Use a SPLADE-type checkpoint for an index; from "
        "Python, sae:DIR?neural_queries=true encodes documents and queries of this one."
    )
