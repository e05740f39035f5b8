"""Weights of 8 bits in an exported encoder, which ONNX Runtime multiplies as float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST_LEVEL = 127
_QUANTISED, _SCALE, _AS_FLOAT = ":int8", ":scale", ":float"


def symmetric_levels(
    weight: NDArray[np.float32], largest: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix whose row v is about ``scale[v] * levels[v]``.

    Args:
        weight: float32[n, d].
        largest: Largest level; the smallest is its negative.

    Returns:
        int8[n, d] and float32[n], above 0.

    >>> levels, scale = symmetric_levels(np.array([[0.5, -1.0]], np.float32), 2)
    >>> levels.tolist(), scale.tolist()
    ([[1, -2]], [0.5])
    """
    most = np.abs(weight).max(axis=1)
    scale = np.where(most > 0, most / largest, 1).astype(np.float32)
    levels = np.clip(np.rint(weight / scale[:, None]), -largest, largest)
    return levels.astype(np.int8), scale


def round_layers(body: Any) -> None:
    """Rounds the matrices of a network's linear layers to what 8 bits per weight can say.

    What is exported afterwards is the same function before and after ``store_layers``.
    """
    import torch

    for module in body.modules():
        if isinstance(module, torch.nn.Linear):
            levels, scale = symmetric_levels(
                module.weight.detach().float().cpu().numpy(), _LARGEST_LEVEL
            )
            rounded = torch.from_numpy(levels * scale[:, None])
            module.weight = torch.nn.Parameter(rounded.to(module.weight), requires_grad=False)


def store_layers(path: Path) -> None:
    """Rewrites an ONNX file with the matrices that ``round_layers`` rounded as 8-bit numbers.

    A matrix becomes ``Cast(levels) * scale``, which ONNX Runtime computes once, when it loads the
    file: the products are those of float32.
    """
    import onnx
    from onnx import helper, numpy_helper

    network = onnx.load(str(path))
    graph = network.graph
    multiplied = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    kept, nodes = [], []
    for tensor in graph.initializer:
        if tensor.name not in multiplied:
            kept.append(tensor)
            continue
        name = tensor.name
        levels, scale = symmetric_levels(numpy_helper.to_array(tensor).T, _LARGEST_LEVEL)
        stored = np.ascontiguousarray(levels.T)
        kept.append(numpy_helper.from_array(stored, name + _QUANTISED))
        kept.append(numpy_helper.from_array(scale[None], name + _SCALE))
        nodes += [
            helper.make_node(
                "Cast", [name + _QUANTISED], [name + _AS_FLOAT], to=onnx.TensorProto.FLOAT
            ),
            helper.make_node("Mul", [name + _AS_FLOAT, name + _SCALE], [name]),
        ]
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.save(network, str(path))


def stored_layers(network: Any) -> dict[str, NDArray[np.float32]]:
    """The matrices of an ONNX network that ``store_layers`` wrote, by name."""
    from onnx import numpy_helper

    values = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in network.graph.initializer
        if tensor.name.endswith((_QUANTISED, _SCALE))
    }
    return {
        name.removesuffix(_QUANTISED): levels * values[name.removesuffix(_QUANTISED) + _SCALE]
        for name, levels in values.items()
        if name.endswith(_QUANTISED)
    }
