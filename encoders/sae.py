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
from numpy.typing import NDArray

from encoders._transformers import masked_language_model
from encoders.base import Document, EncoderSpec, QuerySide, SparseRows
from encoders.checkpoint_files import content_hash, weight_files
from encoders.csr_layout import read_csr_checkpoint
from encoders.errors import CheckpointError, EncoderError
from encoders.masked_lm import (
    check_padding_id,
    import_torch,
    read_tensors,
    refuse_differences,
    usable_device,
)
from encoders.splade_tokenizers import SpladeTokenizers

_BATCH_TOKENS = 1024
# The tied matrix goes by the name of the first or the second module that shares it.
_ENCODER_NAMES = ("decoder.linear.weight", "encoder.weight")
_TRAINING_ONLY = "stats_last_nonzero"


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
        self._device = usable_device(torch, device)
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
        self._body = self._load_body(files)
        self._weight, self._bias, self._latent_bias = self._load_dictionary(dictionary)

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
        import torch

        ids = tokenizers.encode(texts)
        order = [i for i in range(len(ids)) if len(ids[i]) > tokenizers.empty_length]
        order.sort(key=lambda i: (-len(ids[i]), i))
        rows = [(np.empty(0, np.uint32), np.empty(0, np.float32))] * len(ids)
        start = 0
        while start < len(order):
            batch = order[start : start + max(1, _BATCH_TOKENS // len(ids[order[start]]))]
            start += len(batch)
            with torch.inference_mode():
                codes = self._codes([ids[i] for i in batch])
            for i, row in zip(batch, codes, strict=True):
                rows[i] = row
        return SparseRows(
            np.cumsum([0, *(len(weights) for _, weights in rows)], dtype=np.int64),
            np.concatenate([np.empty(0, np.uint32), *(row[0] for row in rows)]),
            np.concatenate([np.empty(0, np.float32), *(row[1] for row in rows)]),
        )

    def _codes(
        self, ids: Sequence[Sequence[int]]
    ) -> list[tuple[NDArray[np.uint32], NDArray[np.float32]]]:
        import torch

        padding_id = int(self.checkpoint.base.config.get("pad_token_id") or 0)
        padded = torch.full((len(ids), max(map(len, ids))), padding_id)
        mask = torch.zeros_like(padded)
        for i, row in enumerate(ids):
            padded[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        padded, mask = padded.to(self._device), mask.to(self._device)
        states = self._body(input_ids=padded, attention_mask=mask).last_hidden_state
        vectors = self._pooled(states, mask[:, :, None])
        if self.checkpoint.normalize_embedding:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        if self.checkpoint.standardize:
            centred = vectors - vectors.mean(1, keepdim=True)
            vectors = centred / (centred.std(1, keepdim=True) + 1e-5)
        latents = torch.nn.functional.linear(vectors - self._bias, self._weight, self._latent_bias)
        if not bool(torch.isfinite(latents).all()):
            raise EncoderError(
                f"{self.checkpoint.base.directory}: the model computed a weight that is not "
                "finite; its weights are damaged or too large for float32."
            )
        values, atoms = (found.cpu().numpy() for found in latents.topk(self.checkpoint.k, dim=1))
        rows = []
        for weights, dimensions in zip(values, atoms, strict=True):
            ascending = np.argsort(dimensions)
            kept = ascending[weights[ascending] > 0]
            rows.append((dimensions[kept].astype(np.uint32), weights[kept].astype(np.float32)))
        return rows

    def _pooled(self, states: Any, mask: Any) -> Any:
        if self.checkpoint.pooling == "cls":
            return states[:, 0]
        if self.checkpoint.pooling == "max":
            return states.masked_fill(mask == 0, float("-inf")).amax(1)
        return (states * mask).sum(1) / mask.sum(1)

    def _load_body(self, files: Sequence[Path]) -> Any:
        base = self.checkpoint.base
        model = masked_language_model(base.config)
        prefix = f"{model.base_model_prefix}."
        buffers = {name for name, _ in model.named_buffers()}
        tensors = read_tensors(files, str(base.config["model_type"]), buffers, prefix)
        expected = {n: p for n, p in model.named_parameters() if n.startswith(prefix)}
        # A layer over the first token that sentence-transformers saves and never reads.
        tensors = {n: t for n, t in tensors.items() if not n.startswith(f"{prefix}pooler.")}
        refuse_differences(base.model_directory, tensors, expected)
        model.load_state_dict(tensors, strict=False)
        body = model.base_model
        width, tokens = body.config.hidden_size, body.get_input_embeddings().num_embeddings
        if width != self.checkpoint.input_dim:
            raise CheckpointError(
                f"{base.directory}: the autoencoder reads vectors of input_dim "
                f"{self.checkpoint.input_dim}, the Transformer makes some of {width}; copy all "
                "modules from one source."
            )
        self.tokenizers.check_vocabulary(tokens)
        check_padding_id(base.model_directory, model)
        body = body.to(self._device)
        self._try(body)
        return body

    def _try(self, body: Any) -> None:
        """Refuses a network that cannot compute, or that reads padding as text."""
        import torch

        ids = (
            torch.arange(4, device=self._device)[None] % body.get_input_embeddings().num_embeddings
        )
        mask = torch.tensor([[1, 1, 0, 0]], device=self._device)
        where, kind = self.checkpoint.base.model_directory, type(body).__name__
        try:
            with torch.inference_mode():
                alone = body(input_ids=ids[:, :2], attention_mask=mask[:, :2]).last_hidden_state
                beside = body(input_ids=ids, attention_mask=mask).last_hidden_state[:, :2]
        except (RuntimeError, ValueError, IndexError) as error:
            raise CheckpointError(
                f"{where}: config.json: {kind} cannot compute with these settings: {error}. Copy "
                "the file again from the checkpoint's source."
            ) from error
        tolerance = 1e-4 * max(1.0, float(alone.abs().max()))
        if not torch.allclose(alone, beside, rtol=0, atol=tolerance):
            raise CheckpointError(
                f"{where}: {kind} computes numbers that are not finite or reads padding as text, "
                "so that a row would depend on the documents beside it; use another checkpoint."
            )

    def _load_dictionary(self, files: Sequence[Path]) -> tuple[Any, Any, Any]:
        import torch

        where = self.checkpoint.dictionary_directory
        tensors = read_tensors(files, "", {_TRAINING_ONLY})
        given = [name for name in _ENCODER_NAMES if name in tensors]
        if len(given) == 2 and not torch.equal(tensors[given[0]], tensors[given[1]]):
            raise CheckpointError(
                f"{where}: {' and '.join(given)} are one matrix and differ; copy the file again "
                "from the checkpoint's source."
            )
        width, atoms = self.checkpoint.input_dim, self.checkpoint.hidden_dim
        expected = {
            "pre_bias": torch.empty(width, device="meta"),
            "latent_bias": torch.empty(atoms, device="meta"),
            (given or _ENCODER_NAMES)[0]: torch.empty(atoms, width, device="meta"),
        }
        refuse_differences(
            where, {n: t for n, t in tensors.items() if n not in given[1:]}, expected
        )
        matrix = tensors[given[0]]
        parts = (matrix, tensors["pre_bias"], tensors["latent_bias"])
        return tuple(part.float().to(self._device) for part in parts)


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


_RECORDED = ("k", "pooling", "layout", "content_hash")


def _needs_network(directory: Path) -> str:
    return (
        f"{directory} is a CSR checkpoint: its queries need the network as its documents do, and "
        "an index answers queries without one. Use a SPLADE-type checkpoint for an index; from "
        "Python, sae:DIR?neural_queries=true encodes documents and queries of this one."
    )
