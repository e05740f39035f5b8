"""Sentence embeddings of a BERT-type network: the mean of its last states, of norm 1.

That is what sentence-transformers computes for all-MiniLM-L6-v2 and its kin (arXiv 1908.10084). A
checkpoint that pools otherwise is refused: it would give vectors of another kind without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.checkpoint import position_limit
from encoders.checkpoint_files import (
    content_hash,
    read_json,
    read_json_object,
    subfolder,
    weight_files,
)
from encoders.errors import CheckpointError
from encoders.masked_lm import (
    Precision,
    build_network,
    import_torch,
    read_tensors,
    usable_device,
)
from encoders.query.tokenizer import WordPieceTokenizer

_BATCH_TOKENS = {False: 1 << 9, True: 1 << 16}
"""By whether the network is on a GPU; see ``splade_base.CPU_BATCH_TOKENS``."""

_MODULES = ("Transformer", "Pooling", "Normalize")


class SentenceEncoder:
    """Reads texts.

    Attributes:
        fingerprint: Of all that decides the vectors.
        dimensions: Of a vector.
    """

    def __init__(
        self,
        directory: Path,
        max_length: int = 128,
        precision: Precision = "float32",
        device: str | None = None,
    ) -> None:
        """Loads an encoder saved by sentence-transformers or transformers.

        Args:
            directory: The checkpoint: ``config.json``, ``model.safetensors``, ``tokenizer.json``.
            max_length: Tokens of a text, special ones included; those that the network has
                positions for at most.
            precision: Of the network's products.
            device: A torch device; CUDA if there is a GPU, else the CPU.

        Raises:
            CheckpointError: A file is missing, tensors do not fit ``config.json``, or vectors are
                not the mean of the network's states.
            EncoderError: torch is not installed, or transformers where the network needs it.
        """
        torch = import_torch()
        _refuse_other_pooling(directory)
        config = read_json_object(directory / "config.json")
        files = weight_files(directory)
        limit = position_limit(config)
        max_length = max_length if limit is None else min(max_length, limit)
        try:
            tokenizer_json = (directory / "tokenizer.json").read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{directory / 'tokenizer.json'} cannot be read: {error.strerror}. Copy the whole "
                "directory from the checkpoint's source."
            ) from None
        self._tokenizer = WordPieceTokenizer(tokenizer_json)
        self._max_length = max_length
        self._device = usable_device(torch, device)
        self._precision = getattr(torch, precision)
        self._model = _load(directory, config, files).to(self._device)
        words = self._model.get_input_embeddings()
        if self._tokenizer.vocab_size > words.num_embeddings:
            raise CheckpointError(
                f"{directory}: tokenizer.json has {self._tokenizer.vocab_size:,} tokens and the "
                f"network {words.num_embeddings:,}. Copy both from one source."
            )
        ends = [self._tokenizer.id(token) for token in ("[CLS]", "[SEP]")]
        if None in ends:
            raise CheckpointError(
                f"{directory}: tokenizer.json has no tokens [CLS] and [SEP], which stand around a "
                "text; use a checkpoint of BERT's kind."
            )
        self._first, self._last = ends
        self.dimensions = int(getattr(self._model.config, "hidden_size", words.embedding_dim))
        weights = content_hash([directory / "config.json", *files], [tokenizer_json])
        reduced = "" if precision == "float32" else f" {precision}"
        self.fingerprint = f"dense mean {weights} {max_length}{reduced}"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[n, d] of norm 1.

        A text does not depend on those beside it but for the rounding of the products.
        """
        import torch

        most_words = max(0, self._max_length - 2)
        rows = [
            [self._first, *ids[:most_words], self._last] for ids in self._tokenizer.ids_batch(texts)
        ]
        most = _BATCH_TOKENS[self._device.type == "cuda"]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        vectors = np.empty((len(rows), self.dimensions), np.float32)
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
            vectors[batch] = self._mean(ids.to(self._device), mask.to(self._device)).cpu().numpy()
            start = end
        return vectors

    def _mean(self, ids: Any, mask: Any) -> Any:
        import torch

        reduced = self._precision != torch.float32
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, self._precision, enabled=reduced),
        ):
            states = _last_states(self._model, ids, mask)
            mean = (states.float() * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            return torch.nn.functional.normalize(mean, dim=1)


def _load(directory: Path, config: Mapping[str, Any], files: Sequence[Path]) -> Any:
    """The network of a ``config.json`` with its weights; its vocabulary head, if any, is not used.

    Raises:
        CheckpointError: A file is broken, or tensors are missing or unknown.
    """
    model = build_network(config)
    body = f"{model.base_model_prefix}."
    buffers = {name for name, _ in model.named_buffers()}
    buffers |= {name.removeprefix(body) for name in buffers}
    tensors = read_tensors(files, str(config.get("model_type")), buffers)
    if not any(name.startswith(body) for name in tensors):  # a body saved without its head
        tensors = {body + name: tensor for name, tensor in tensors.items()}
    expected = dict(model.named_parameters(remove_duplicate=False))
    tensors = {
        name: tensor
        for name, tensor in tensors.items()
        if ".pooler." not in name and (name.startswith(body) or name not in expected)
    }
    missing = [name for name in expected if name.startswith(body) and name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    if missing or unknown:
        raise CheckpointError(
            f"{directory} is no encoder of the kind that its config.json names: missing "
            f"{missing[:3]}, unknown {unknown[:3]}."
        )
    try:
        model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CheckpointError(
            f"{directory}: weights and config.json do not belong together: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from None
    return model


def _last_states(model: Any, ids: Any, mask: Any) -> Any:
    """float[B, L, d] of a network of ours, or of transformers."""
    if hasattr(model, "states"):
        return model.states(model.get_input_embeddings()(ids), mask)
    return model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state


def _refuse_other_pooling(directory: Path) -> None:
    """Refuses a checkpoint of sentence-transformers whose vectors are not normed means.

    Raises:
        CheckpointError: See above.
    """
    if not (directory / "modules.json").is_file():
        return
    kinds = {}
    modules = read_json(directory / "modules.json")
    for entry in modules if isinstance(modules, list) else ():
        if isinstance(entry, dict):
            kinds[str(entry.get("type")).rpartition(".")[2]] = entry
    other = [kind for kind in kinds if kind not in _MODULES]
    if other or "Pooling" not in kinds:
        raise CheckpointError(
            f"{directory}: modules.json has {f'a module {other[0]!r}' if other else 'no pooling'} "
            "behind the network: vectors are the mean of the last states, and nothing else is "
            "supported. Use a checkpoint such as all-MiniLM-L6-v2."
        )
    folder = subfolder(directory, kinds["Pooling"].get("path"))
    settings = read_json_object(folder / "config.json")
    # A name or names since sentence-transformers 6, a switch for each before.
    named = settings.get("pooling_mode")
    modes = {str(name) for name in (named if isinstance(named, list) else [named]) if name}
    modes |= {
        key.removeprefix("pooling_mode_").removesuffix("_tokens")
        for key, used in settings.items()
        if key.startswith("pooling_mode_") and used is True
    }
    if modes != {"mean"}:
        raise CheckpointError(
            f"{directory} pools by {', '.join(sorted(modes)) or 'nothing'}; only the mean of all "
            "tokens is supported. Use a checkpoint such as all-MiniLM-L6-v2."
        )
