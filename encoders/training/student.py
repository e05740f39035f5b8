"""The network in training: a masked language model whose vocabulary head is evaluated in part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from encoders.checkpoint import Pooling, read_checkpoint
from encoders.checkpoint_files import WEIGHTS, weight_files
from encoders.checkpoint_tokenizer import read_tokenizer_json
from encoders.masked_lm import Precision, build_network, load_masked_language_model
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.query_factors import QUERY_FACTORS, read_query_factors
from encoders.training.errors import TrainingError
from encoders.training.max_logits import MaxLogits

_ENCODE_BATCH_TOKENS = {False: 1 << 11, True: 1 << 15}
_COLUMNS = 1024


class Head(NamedTuple):
    """Some columns of the vocabulary head: float32[C, d] and float32[C]."""

    weight: torch.Tensor
    bias: torch.Tensor


class Student(torch.nn.Module):  # type: ignore[misc]
    """Document weights of a checkpoint, differentiable, for any subset of the vocabulary.

    Attributes:
        pooling: Activation; the maximum over tokens is the only pooling that is trained.
        tokenizer: Of documents and queries.
        special_ids: Entries that never get a weight.
        log_query_factor: float32[V]; a query weight is idf times the exponential of it. Zeros,
            unless the query table is trained too (Li-LSR, arXiv 2505.01452).
    """

    def __init__(
        self,
        directory: Path,
        pooling: Pooling | None = None,
        precision: Precision = "float32",
    ) -> None:
        """Loads a checkpoint of any layout of ``encoders.checkpoint``; no dropout is applied.

        Args:
            directory: The checkpoint. It goes to the GPU if there is one.
            pooling: In place of the checkpoint's own.
            precision: Of the network's products; those of the head are float32 in training.

        Raises:
            CheckpointError: The checkpoint is not valid.
            TrainingError: It pools by sums.
        """
        super().__init__()
        checkpoint = read_checkpoint(directory)
        self._precision = getattr(torch, precision)
        self.pooling = pooling or checkpoint.pooling
        if self.pooling.strategy != "max":
            raise TrainingError(f"{directory} pools by sums; only maximum pooling is trained.")
        self._directory = checkpoint.model_directory
        self._config = checkpoint.config
        model = load_masked_language_model(checkpoint.config, weight_files(self._directory))
        self.body = model.body
        if not torch.cuda.is_available():
            # At the length of a passage torch's fused kernel for CPUs takes twice as long backward.
            self.body.set_attn_implementation("eager")
        self.weight = _own_parameter(self.body, model.weight)
        self.bias = _own_parameter(self.body, model.bias)
        self.log_query_factor = torch.nn.Parameter(torch.zeros_like(self.bias))
        factors = read_query_factors(directory, self.vocabulary)
        if factors is not None:
            self.log_query_factor.data.copy_(torch.from_numpy(factors).log())
        places = [checkpoint.model_directory, checkpoint.directory]
        self._tokenizer_json = read_tokenizer_json(places, lower_case=checkpoint.lower_case)
        self.tokenizer = WordPieceTokenizer(self._tokenizer_json)
        self.special_ids = np.array(sorted(self.tokenizer.special_ids), dtype=np.int64)
        self._first, self._last = (self.tokenizer.id(token) for token in ("[CLS]", "[SEP]"))

    @property
    def vocabulary(self) -> int:
        """V, entries of the vocabulary head."""
        return len(self.weight)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.weight.device

    def allowed_ids(self) -> NDArray[np.int64]:
        """Entries that may get a weight, ascending."""
        return np.setdiff1d(np.arange(self.vocabulary, dtype=np.int64), self.special_ids)

    def tables_and_layers(self) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
        """Tables with a row per vocabulary entry, and all else but the query factors."""
        network = [p for p in self.parameters() if p is not self.log_query_factor]
        tables = [p for p in network if p.ndim > 1 and len(p) == self.vocabulary]
        kept = {id(p) for p in tables}
        return tables, [p for p in network if id(p) not in kept]

    def query_factors(self) -> NDArray[np.float32]:
        """float32[V], factors of the idf in query weights."""
        factors: NDArray[np.float32] = self.log_query_factor.detach().exp().cpu().numpy()
        return factors

    def tokens(self, texts: Sequence[str], max_length: int) -> list[NDArray[np.int32]]:
        """Token ids of documents, at most ``max_length`` with the special tokens around them."""
        return [
            np.array([self._first, *ids[: max_length - 2], self._last], dtype=np.int32)
            for ids in self.tokenizer.ids_batch(texts)
        ]

    def head(self, columns: torch.Tensor) -> Head:
        """Rows of the vocabulary projection for int64[C] entries.

        Taken once for all documents of a step: the gradient of each such selection is as large
        as the whole vocabulary.
        """
        return Head(self.weight[columns], self.bias[columns])

    def weights(self, documents: Sequence[NDArray[np.int32]], head: Head) -> torch.Tensor:
        """Document weights in some columns of the vocabulary.

        Args:
            documents: Token ids as ``tokens`` gives them.
            head: The columns.

        Returns:
            float32[len(documents), C], >= 0, equal to the same columns of the whole head.
        """
        return self._pool(self._states(documents), head)

    def encode(
        self, documents: Sequence[NDArray[np.int32]], columns: NDArray[np.int64]
    ) -> sparse.csr_matrix:
        """Sparse rows of many documents, restricted to some columns; no gradient.

        Returns:
            float32 CSR of the shape [len(documents), V] with weights in ``columns`` only.
        """
        order = sorted(range(len(documents)), key=lambda i: len(documents[i]))
        found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (
                (end + 1 - start) * len(documents[order[end]])
                <= _ENCODE_BATCH_TOKENS[self.device.type == "cuda"]
            ):
                end += 1
            numbers = np.array(order[start:end])
            with torch.inference_mode(), self._reduced():
                rows, dims, values = self._active([documents[i] for i in numbers], columns)
            found.append((numbers[rows], dims, values))
            start = end
        rows, dims, values = (np.concatenate(part) for part in zip(*found, strict=True))
        shape = (len(documents), self.vocabulary)
        return sparse.csr_matrix((values, (rows, dims)), shape=shape)

    def _active(
        self, documents: Sequence[NDArray[np.int32]], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Rows, columns and values of the entries above 0."""
        states = self._states(documents)
        wanted = torch.from_numpy(columns).to(self.device)
        blocks = [self._pool(states, self.head(block)) for block in wanted.split(_COLUMNS)]
        # All blocks first: small arrays that are kept between the large ones of every block
        # would leave holes in the heap that no block fits into.
        weights = torch.cat(blocks, dim=1)
        rows, places = weights.nonzero(as_tuple=True)
        values = weights[rows, places]
        return rows.cpu().numpy(), columns[places.cpu().numpy()], values.cpu().numpy()

    def _states(self, documents: Sequence[NDArray[np.int32]]) -> torch.Tensor:
        """float32[B, L, d]; a padded position repeats the first token, so no maximum changes."""
        lengths = torch.tensor([len(ids) for ids in documents])
        padded = np.zeros((len(documents), int(lengths.max())), np.int64)
        for row, ids in zip(padded, documents, strict=True):
            row[: len(ids)] = ids
        inside = torch.arange(padded.shape[1])[None] < lengths[:, None]
        ids, inside = torch.from_numpy(padded).to(self.device), inside.to(self.device)
        with self._reduced():
            states = self.body(input_ids=ids, attention_mask=inside.long()).logits.float()
        return torch.where(inside[:, :, None], states, states[:, :1])

    def _reduced(self) -> torch.autocast:
        reduced = self._precision != torch.float32
        return torch.autocast(self.device.type, self._precision, enabled=reduced)

    def logits(self, documents: Sequence[NDArray[np.int32]], head: Head) -> torch.Tensor:
        """float32[len(documents), C], the maximum over tokens before the activation."""
        return MaxLogits.apply(self._states(documents), head.weight) + head.bias

    def _pool(self, states: torch.Tensor, head: Head) -> torch.Tensor:
        weights = (MaxLogits.apply(states, head.weight) + head.bias).relu().log1p()
        return weights.log1p() if self.pooling.activation == "log1p_relu" else weights

    def save(self, directory: Path) -> None:
        """Writes the network as a plain masked language model with its tokenizer.

        The weights appear whole or not at all, since a run may be killed, or used, meanwhile.
        """
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        model = build_network(self._config)
        decoder = model.get_output_embeddings()
        name = next(name for name, module in model.named_modules() if module is decoder)
        state = self.body.state_dict()
        state[f"{name}.weight"], state[f"{name}.bias"] = self.weight, self.bias
        model.load_state_dict(state, strict=False)
        tensors: dict[int, tuple[str, torch.Tensor]] = {}
        for key, tensor in model.state_dict().items():
            tensors.setdefault(tensor.data_ptr(), (key, tensor.contiguous()))
        temporary = (directory / WEIGHTS).with_suffix(".part")
        save_file(dict(tensors.values()), temporary, metadata={"format": "pt"})
        temporary.replace(directory / WEIGHTS)
        for file in ("config.json", "tokenizer_config.json"):
            if (self._directory / file).is_file():
                (directory / file).write_bytes((self._directory / file).read_bytes())
        (directory / "tokenizer.json").write_bytes(self._tokenizer_json)
        if bool(self.log_query_factor.any()):
            np.save(directory / QUERY_FACTORS, self.query_factors())


def _own_parameter(body: torch.nn.Module, tensor: torch.Tensor) -> torch.nn.Parameter:
    """The parameter that the tensor is tied to, or a new one.

    The vocabulary projection of most checkpoints is the table of word embeddings; both must
    move together in training.
    """
    for parameter in body.parameters():
        if parameter.data_ptr() == tensor.data_ptr() and parameter.shape == tensor.shape:
            return parameter
    return torch.nn.Parameter(tensor.clone())
