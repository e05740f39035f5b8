"""The network of a CSR checkpoint: a dense encoder, and the dictionary of its vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders._transformers import masked_language_model
from encoders.csr_layout import CsrCheckpoint
from encoders.errors import CheckpointError, EncoderError
from encoders.masked_lm import (
    check_padding_id,
    read_tensors,
    refuse_differences,
)
from encoders.splade_tokenizers import SpladeTokenizers

# The tied matrix goes by the name of the first or the second module that shares it.
_ENCODER_NAMES = ("decoder.linear.weight", "encoder.weight")
_TRAINING_ONLY = "stats_last_nonzero"


class SaeNetwork:
    """Token ids to codes: ``relu(topk(W (x - b) + c))`` of the pooled states x."""

    def __init__(
        self,
        checkpoint: CsrCheckpoint,
        tokenizers: SpladeTokenizers,
        files: Sequence[Path],
        dictionary: Sequence[Path],
        device: Any,
    ) -> None:
        """Loads the weights and tries the network once.

        Args:
            checkpoint: What the directory's configurations say.
            tokenizers: Their vocabulary must fit the network.
            files: Weights of the dense encoder.
            dictionary: Weights of the autoencoder.
            device: torch's device to compute on.

        Raises:
            CheckpointError: Tensors are missing, left over or of another size, or the network
                cannot compute with them.
            EncoderError: transformers is not installed.
        """
        self._device = device
        self._checkpoint = checkpoint
        self._body = self._load_body(files, tokenizers)
        self._weight, self._bias, self._latent_bias = self._load_dictionary(dictionary)

    def codes(
        self, ids: Sequence[Sequence[int]]
    ) -> list[tuple[NDArray[np.uint32], NDArray[np.float32]]]:
        """Atoms, ascending, and weights of each text, computed as one batch.

        Raises:
            EncoderError: A number is not finite.
        """
        import torch

        padding_id = int(self._checkpoint.base.config.get("pad_token_id") or 0)
        padded = torch.full((len(ids), max(map(len, ids))), padding_id)
        mask = torch.zeros_like(padded)
        for i, row in enumerate(ids):
            padded[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        with torch.inference_mode():
            latents = self._latents(padded.to(self._device), mask.to(self._device))
        if not bool(torch.isfinite(latents).all()):
            raise EncoderError(
                f"{self._checkpoint.base.directory}: the model computed a weight that is not "
                "finite; its weights are damaged or too large for float32."
            )
        values, atoms = (found.cpu().numpy() for found in latents.topk(self._checkpoint.k, dim=1))
        rows = []
        for weights, dimensions in zip(values, atoms, strict=True):
            ascending = np.argsort(dimensions)
            kept = ascending[weights[ascending] > 0]
            rows.append((dimensions[kept].astype(np.uint32), weights[kept].astype(np.float32)))
        return rows

    def _latents(self, padded: Any, mask: Any) -> Any:
        import torch

        states = self._body(input_ids=padded, attention_mask=mask).last_hidden_state
        vectors = self._pooled(states, mask[:, :, None])
        if self._checkpoint.normalize_embedding:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        if self._checkpoint.standardize:
            centred = vectors - vectors.mean(1, keepdim=True)
            vectors = centred / (centred.std(1, keepdim=True) + 1e-5)
        return torch.nn.functional.linear(vectors - self._bias, self._weight, self._latent_bias)

    def _pooled(self, states: Any, mask: Any) -> Any:
        if self._checkpoint.pooling == "cls":
            return states[:, 0]
        if self._checkpoint.pooling == "max":
            return states.masked_fill(mask == 0, float("-inf")).amax(1)
        return (states * mask).sum(1) / mask.sum(1)

    def _load_body(self, files: Sequence[Path], tokenizers: SpladeTokenizers) -> Any:
        base = self._checkpoint.base
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
        if width != self._checkpoint.input_dim:
            raise CheckpointError(
                f"{base.directory}: the autoencoder reads vectors of input_dim "
                f"{self._checkpoint.input_dim}, the Transformer makes some of {width}; copy all "
                "modules from one source."
            )
        tokenizers.check_vocabulary(tokens)
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
        where, kind = self._checkpoint.base.model_directory, type(body).__name__
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

        where = self._checkpoint.dictionary_directory
        tensors = read_tensors(files, "", {_TRAINING_ONLY})
        given = [name for name in _ENCODER_NAMES if name in tensors]
        if len(given) == 2 and not torch.equal(tensors[given[0]], tensors[given[1]]):
            raise CheckpointError(
                f"{where}: {' and '.join(given)} are one matrix and differ; copy the file again "
                "from the checkpoint's source."
            )
        width, atoms = self._checkpoint.input_dim, self._checkpoint.hidden_dim
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
