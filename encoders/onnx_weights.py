"""The way back from an exported encoder to a checkpoint, so that it can be trained further."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.checkpoint_files import WEIGHTS
from encoders.errors import CheckpointError, EncoderError
from encoders.exported import (
    BODY,
    QUERY_TABLE,
    QUERY_TOKENIZER,
    TOKENIZER,
    ExportedEncoder,
    head_rows,
    read_exported,
    read_head,
)
from encoders.masked_lm import build_network
from encoders.onnx_quantisation import stored_layers
from encoders.query_factors import QUERY_FACTORS

_PREFIX = "body."


def restore_checkpoint(export: Path, output: Path) -> ExportedEncoder:
    """Writes a masked-LM checkpoint with the weights of an exported encoder.

    The network is what was exported. An ``int8`` export has matrices and a vocabulary head of 8
    bits. Word embeddings are those rows, or of half precision in the body; a head that is tied to
    the latter is restored from these, another one from its 8 bits.

    Args:
        export: Directory of an exported encoder.
        output: A new directory.

    Returns:
        The configuration of the export; its ``activation`` is not part of such a checkpoint.

    Raises:
        CheckpointError: The export does not say which architecture it has, is not a network of
            linear layers with bias, or has a query side of its own.
        EncoderError: torch or onnx is not installed, or transformers where it is needed.

    >>> restore_checkpoint(Path("exported/splade"), Path("models/splade"))  # doctest: +SKIP
    """
    try:
        import onnx
        import torch
        from safetensors.torch import save_file
    except ImportError as error:
        raise EncoderError(
            f"restoring a checkpoint needs the package {error.name!r}, which cannot be imported; "
            "install it with: pip install 'winnow-search[encode]'"
        ) from error
    config, _, _ = read_exported(export)
    if config.architecture is None:
        raise CheckpointError(
            f"{export} was exported without its architecture; export the checkpoint again."
        )
    if {QUERY_TABLE, QUERY_TOKENIZER} & set(config.files):
        raise CheckpointError(
            f"{export} has query weights or a query tokenizer of its own, which training would "
            "not keep; start from the checkpoint that it was exported from."
        )
    stored = _network_tensors(onnx.load(str(export / BODY)))
    head = _head(export, config)
    architecture = dict(config.architecture)
    model = build_network(architecture)
    if config.word_embeddings == "head":
        stored[_embeddings_name(model)] = head["weight"]
    elif not np.allclose(_embeddings(model, stored), head["weight"], atol=_tolerance(head)):
        architecture["tie_word_embeddings"] = False
        model = build_network(architecture)
    decoder = model.get_output_embeddings()
    is_tied = decoder.weight is model.get_input_embeddings().weight
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # An untied BERT has the bias twice, and uses one of them.
            if name not in stored and parameter.shape == decoder.bias.shape:
                value = head["bias"]
            elif parameter is decoder.weight and not is_tied:
                value = head["weight"]
            elif name in stored and stored[name].shape == tuple(parameter.shape):
                value = stored[name]
            else:
                raise CheckpointError(
                    f"{export / BODY} has no weights {list(parameter.shape)} for {name!r}; start "
                    "from the checkpoint that it was exported from."
                )
            parameter.copy_(torch.from_numpy(value.astype(np.float32)))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as name:
        work = Path(name) / "checkpoint"  # whole, or not at all
        work.mkdir()
        tensors = {name: tensor.contiguous() for name, tensor in model.named_parameters()}
        save_file(tensors, work / WEIGHTS, metadata={"format": "pt"})
        (work / "config.json").write_text(json.dumps(architecture, indent=1) + "\n")
        (work / "tokenizer.json").write_bytes((export / TOKENIZER).read_bytes())
        if QUERY_FACTORS in config.files:
            (work / QUERY_FACTORS).write_bytes((export / QUERY_FACTORS).read_bytes())
        work.rename(output)
    return config


def _network_tensors(network: Any) -> dict[str, NDArray[Any]]:
    """Tensors of an ONNX network under the names of the module that was exported.

    The exporter transposes the matrix of a linear layer and drops its name; that of the bias,
    which is added to the product, tells which one it was. Equal tensors are stored once.
    """
    from onnx import numpy_helper

    graph = network.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values |= stored_layers(network)
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
    products = {
        node.output[0]: node.input[1]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in values
    }
    found = {
        name.removeprefix(_PREFIX): value
        for name, value in values.items()
        if name.startswith(_PREFIX)
    }
    for node in graph.node:
        if node.op_type == "Add":
            for bias, product in (node.input, reversed(node.input)):
                if bias.startswith(_PREFIX) and bias.endswith(".bias") and product in products:
                    name = bias.removeprefix(_PREFIX).removesuffix(".bias")
                    found[f"{name}.weight"] = values[products[product]].T
    return found


def _head(export: Path, config: ExportedEncoder) -> dict[str, NDArray[np.float32]]:
    head = read_head(export, config)
    return {"weight": head_rows(head, slice(None)), "bias": head["bias"]}


def _tolerance(head: dict[str, NDArray[np.float32]]) -> float:
    """By how much a head of 8 bits may differ from embeddings of half precision."""
    return float(np.abs(head["weight"]).max()) / 100


def _embeddings_name(model: Any) -> str:
    table = model.get_input_embeddings().weight
    names = (name for name, parameter in model.named_parameters() if parameter is table)
    return str(next(names))


def _embeddings(model: Any, stored: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    name = _embeddings_name(model)
    if name not in stored:
        raise CheckpointError(f"the exported network has no {name!r}.")
    return stored[name].astype(np.float32)
