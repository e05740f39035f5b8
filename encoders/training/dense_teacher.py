"""A sentence-embedding model as a teacher: mean of the last states, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders._transformers import masked_language_model
from encoders.checkpoint_files import content_hash, read_json_object
from encoders.errors import CheckpointError
from encoders.masked_lm import usable_device
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.training.cache import Progress, cached_vectors
from encoders.training.configuration import Precision

_BATCH_TOKENS = {False: 1 << 12, True: 1 << 16}
"""By whether the model is on a GPU."""


class DenseTeacher:
    """Cosine similarity of mean-pooled states, as all-MiniLM-L6-v2 computes it.

    Vectors are float16 and kept in ``cache`` under a hash of text, model and length.
    """

    def __init__(
        self,
        directory: Path,
        cache: Path,
        max_length: int = 128,
        precision: Precision = "float32",
    ) -> None:
        """Loads a BERT-type encoder saved by sentence-transformers or transformers.

        Args:
            directory: The checkpoint. It goes to the GPU if there is one.
            cache: Where vectors are kept.
            max_length: Tokens of a text, special ones included.
            precision: Of the network's products.

        Raises:
            CheckpointError: A file is missing, or tensors do not fit ``config.json``.
            EncoderError: torch or transformers is not installed.
        """
        import torch
        from safetensors.torch import load_file

        config = read_json_object(directory / "config.json")
        self._tokenizer = WordPieceTokenizer((directory / "tokenizer.json").read_bytes())
        self._model = masked_language_model(config).base_model
        tensors = load_file(directory / "model.safetensors")
        found = self._model.load_state_dict(tensors, strict=False)
        unknown = [name for name in found.unexpected_keys if not name.startswith("pooler.")]
        # Buffers of positions are computed, not stored.
        missing = [name for name in found.missing_keys if not name.endswith("_ids")]
        unknown = [name for name in unknown if not name.endswith("_ids")]
        if missing or unknown:
            raise CheckpointError(
                f"{directory} is no encoder of the kind that its config.json names: missing "
                f"{missing[:3]}, unknown {unknown[:3]}."
            )
        self._device = usable_device(torch, None)
        self._model = self._model.to(self._device)
        self._cache = cache
        self._max_length = max_length
        files = [directory / name for name in ("config.json", "tokenizer.json")]
        weights = content_hash([*files, directory / "model.safetensors"], ())
        self._precision = getattr(torch, precision)
        reduced = "" if precision == "float32" else f" {precision}"
        self.fingerprint = f"dense mean {weights} {max_length}{reduced}"

    def vectors(
        self, texts: Sequence[str], progress: Progress = lambda line: None
    ) -> NDArray[np.float16]:
        """float16[n, d] of norm 1."""
        return cached_vectors(self._cache, self.fingerprint, texts, self.encode, progress)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """The same, computed whatever the cache holds."""
        import torch

        first, last = (self._tokenizer.id(token) or 0 for token in ("[CLS]", "[SEP]"))
        rows = [
            [first, *ids[: self._max_length - 2], last] for ids in self._tokenizer.ids_batch(texts)
        ]
        most = _BATCH_TOKENS[self._device.type == "cuda"]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        vectors = np.empty((len(rows), self._model.config.hidden_size), np.float16)
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * len(rows[order[end]]) <= most:
                end += 1
            batch = order[start:end]
            lengths = torch.tensor([len(rows[i]) for i in batch])
            ids = torch.zeros(len(batch), int(lengths.max()), dtype=torch.long)
            for place, i in enumerate(batch):
                ids[place, : len(rows[i])] = torch.tensor(rows[i])
            mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
            ids, mask = ids.to(self._device), mask.to(self._device)
            reduced = self._precision != torch.float32
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, self._precision, enabled=reduced),
            ):
                states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
                mean = (states.float() * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
                unit = torch.nn.functional.normalize(mean, dim=1)
            vectors[batch] = unit.half().cpu().numpy()
            start = end
        return vectors
