"""Strict loading of a masked language model, split in front of its vocabulary projection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from encoders._transformers import masked_language_model
from encoders.checkpoint import position_limit
from encoders.errors import CheckpointError, EncoderError
from encoders.stored_names import under_model_names

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]
"""Of a network's products."""

_SHOWN = 5
_TRIED = 8
_MOST_LAYERS = 1000


@dataclass(frozen=True, slots=True)
class MaskedLanguageModel:
    """A masked language model whose last matrix product is left to the caller.

    Attributes:
        body: Gives ``body(input_ids, attention_mask).logits`` as the float32[B, L, d] states
            that enter the vocabulary projection.
        weight: float32[V, d] of the projection.
        bias: float32[V] of the projection.
        device: Where all of them live.
    """

    body: Any
    weight: torch.Tensor
    bias: torch.Tensor
    device: torch.device

    def hidden(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """float32[B, L, d] states of int64[B, L] token ids; the mask is 0 for padding."""
        return self.body(input_ids=input_ids, attention_mask=attention_mask).logits


def load_masked_language_model(
    config: Mapping[str, Any], files: Sequence[Path], *, device: str | None = None
) -> MaskedLanguageModel:
    """Builds the architecture of ``config.json`` and loads safetensors files into it.

    Every tensor of the files is used once and every tensor of the model is given once, with two
    allowances: a tensor that the model ties to another may be left out, and buffers that the
    model computes itself (``position_ids``) may be there. Tied tensors that are both in the
    files and differ are untied, as transformers does.

    Args:
        config: Content of ``config.json``.
        files: The model's safetensors files.
        device: A torch device; CUDA if there is a GPU, else the CPU.

    Raises:
        EncoderError: torch is not installed, or transformers where the architecture needs it, or
            there is no such device.
        CheckpointError: A file is broken, tensors are missing, unknown, of another shape or not
            finite, or the architecture is not a linear projection onto the vocabulary.
    """
    torch = import_torch()
    place = usable_device(torch, device)
    with torch.device("meta"):
        # Shapes alone, so that sizes which do not fit the files take no memory.
        outline = build_network(config)
    buffers = {name for name, _ in outline.named_buffers()}
    tensors = read_tensors(files, str(config["model_type"]), buffers)
    where = files[0].parent
    refuse_differences(where, tensors, dict(outline.named_parameters(remove_duplicate=False)))
    model = build_network(config)
    expected = dict(model.named_parameters(remove_duplicate=False))
    with torch.inference_mode():
        _untie_differing(model, tensors, expected)
        model.load_state_dict(tensors, strict=False)
    return _split(where, model.to(place), place, position_limit(config))


def build_network(config: Mapping[str, Any]) -> Any:
    """The network of a ``config.json``, not yet loaded: one of ours, else that of transformers.

    Raises:
        EncoderError: transformers is needed and not installed.
        CheckpointError: There is no such network.
    """
    from encoders.networks.bert import BertForMaskedLM, is_plain_bert
    from encoders.networks.distilbert import DistilBertForMaskedLM, is_plain_distilbert

    for name in ("num_hidden_layers", "n_layers"):
        layers = config.get(name)
        if isinstance(layers, int) and layers > _MOST_LAYERS:
            raise CheckpointError(
                f"config.json: {name} must be at most {_MOST_LAYERS:,}, got {layers:.3g}; copy the "
                "file again from the checkpoint's source."
            )
    if is_plain_bert(config):
        return BertForMaskedLM(config)
    if is_plain_distilbert(config):
        return DistilBertForMaskedLM(config)
    return masked_language_model(config)


def import_torch() -> Any:
    """The module torch.

    Raises:
        EncoderError: It is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise EncoderError(
            "encoding with a checkpoint needs torch, which is not installed; install it with: "
            "pip install 'winnow-search[encode]'"
        ) from error
    return torch


def usable_device(torch: Any, name: str | None) -> Any:
    """The torch device of a name; without one, CUDA if there is a GPU, else the CPU.

    Raises:
        EncoderError: There is no such device.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EncoderError(
            f"torch cannot use the device {name!r}: {error}. Use 'cpu', or 'cuda' where "
            "torch.cuda.is_available() is true."
        ) from error
    return device


def read_tensors(
    files: Sequence[Path], model_type: str, buffers: set[str], prefix: str = ""
) -> dict[str, Any]:
    """Finite tensors of safetensors files under the model's names, buffers left out.

    Args:
        files: They share one namespace.
        model_type: Of ``config.json``.
        buffers: Names that the model computes itself.
        prefix: Put in front of stored names that lack it, for a body saved without its head.

    Raises:
        CheckpointError: A file is broken, a tensor is given twice, quantised or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, Any] = {}
    for path in files:
        try:
            content = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} cannot be read: {error}. The file is truncated or damaged; copy it again "
                "from the checkpoint's source."
            ) from error
        for stored, tensor in content.items():
            full = stored if stored.startswith(prefix) else prefix + stored
            for name, piece in under_model_names(model_type, full, tensor).items():
                if name in tensors:
                    raise CheckpointError(f"{path} gives the tensor {name!r} a second time.")
                if name not in buffers:
                    _check_numbers(path, stored, tensor)
                    tensors[name] = piece
    return tensors


def _check_numbers(path: Path, name: str, tensor: torch.Tensor) -> None:
    if not tensor.is_floating_point():
        raise CheckpointError(
            f"{path}: tensor {name!r} has the type {tensor.dtype}; quantised checkpoints are not "
            "supported, use the float32, float16 or bfloat16 one."
        )
    if not bool(tensor.isfinite().all()):
        raise CheckpointError(
            f"{path}: tensor {name!r} holds NaN or infinite weights; the checkpoint is damaged or "
            "its training diverged, use another one."
        )


def refuse_differences(
    where: Path, tensors: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    """Refuses tensors that the model lacks, has too many of, or has in another shape.

    Raises:
        CheckpointError: See above; the message names them.
    """
    groups = _tied(expected)
    given = {name for group in groups for name in group if any(other in tensors for other in group)}
    problems = [
        (sorted(set(tensors) - set(expected)), "tensors that the model has no place for"),
        (sorted(set(expected) - given), "missing tensors"),
        (
            [
                f"{name} {list(tensor.shape)} instead of {list(expected[name].shape)}"
                for name, tensor in sorted(tensors.items())
                if name in expected and tensor.shape != expected[name].shape
            ],
            "tensors of another shape than config.json says",
        ),
    ]
    found = [f"{what} ({len(names)}): {_some(names)}" for names, what in problems if names]
    if found:
        raise CheckpointError(
            f"{where}: weights and config.json do not belong together; {'; '.join(found)}. Copy "
            "both from one source; a checkpoint of another task (no masked-LM head, an extra "
            "pooler) has to be saved again as ...ForMaskedLM with transformers."
        )


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _tied(expected: Mapping[str, Any]) -> list[list[str]]:
    """Names grouped by the parameter that they stand for."""
    groups: dict[int, list[str]] = defaultdict(list)
    for name, parameter in expected.items():
        groups[id(parameter)].append(name)
    return list(groups.values())


def _untie_differing(model: Any, tensors: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    import torch

    for group in _tied(expected):
        first, *others = [name for name in group if name in tensors] or group
        for name in others:
            if name in tensors and not torch.equal(tensors[first], tensors[name]):
                owner, _, attribute = name.rpartition(".")
                parameter = torch.nn.Parameter(expected[name].detach().clone())
                setattr(model.get_submodule(owner), attribute, parameter)


def _split(where: Path, model: Any, device: Any, longest: int | None) -> MaskedLanguageModel:
    import torch

    decoder = model.get_output_embeddings()
    unsupported = CheckpointError(
        f"{where}: the vocabulary head of {type(model).__name__} is more than one linear layer, "
        "which is not supported; use a checkpoint of BERT's kind."
    )
    if not isinstance(decoder, torch.nn.Linear):
        raise unsupported
    bias = decoder.bias
    if bias is None:
        bias = torch.zeros(decoder.out_features, device=device)
    check_padding_id(where, model)
    with torch.inference_mode():
        length = min(_TRIED, decoder.out_features, longest or _TRIED)
        ids = torch.arange(length, device=device)[None]
        mask = torch.ones_like(ids)
        logits = model(input_ids=ids, attention_mask=mask).logits
        if not bool(torch.isfinite(logits).all()):
            raise CheckpointError(
                f"{where}: the model computes logits that are not finite; its weights are damaged "
                "or too large for float32, use another checkpoint."
            )
        if not _ignores_padding(model, ids):
            raise CheckpointError(
                f"{where}: {type(model).__name__} reads padding as text (convolutions do), so that "
                "a row would depend on the documents beside it; use a checkpoint of BERT's kind."
            )
        name = next(name for name, module in model.named_modules() if module is decoder)
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, torch.nn.Identity())
        split = MaskedLanguageModel(model, decoder.weight.detach(), bias.detach(), device)
        try:
            hidden = split.hidden(ids, mask)
            again = torch.nn.functional.linear(hidden, split.weight, split.bias)
        except (AttributeError, RuntimeError) as error:  # The head reads more of its decoder.
            raise unsupported from error
    tolerance = 1e-4 * max(1.0, float(logits.abs().max()))
    if again.shape != logits.shape or not torch.allclose(again, logits, rtol=0, atol=tolerance):
        raise unsupported
    return split


def check_padding_id(where: Path, model: Any) -> None:
    """Refuses a configuration whose padding token the model has no embedding of.

    Raises:
        CheckpointError: See above.
    """
    padding, size = model.config.pad_token_id, model.get_input_embeddings().num_embeddings
    if padding is not None and not (isinstance(padding, int) and 0 <= padding < size):
        raise CheckpointError(
            f"{where}: config.json: pad_token_id must be a token id below {size}, got {padding!r}; "
            "copy the file again from the checkpoint's source."
        )


def _ignores_padding(model: Any, ids: torch.Tensor) -> bool:
    """Whether the beginning of a text has the same logits alone and with padding behind it."""
    import torch

    length = ids.shape[1] // 2 + 1
    padded, mask = ids.clone(), torch.ones_like(ids)
    padded[:, length:] = int(getattr(model.config, "pad_token_id", None) or 0)
    mask[:, length:] = 0
    alone = model(input_ids=ids[:, :length], attention_mask=mask[:, :length]).logits
    beside = model(input_ids=padded, attention_mask=mask).logits[:, :length]
    tolerance = 1e-4 * max(1.0, float(alone.abs().max()))
    return bool(torch.allclose(alone, beside, rtol=0, atol=tolerance))
