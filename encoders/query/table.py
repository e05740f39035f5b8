"""Query tables: one weight per vocabulary entry, which is all that a query encoder needs.

A query's vector has the table's weight at each of its tokens, whether a token occurs once or
more (``binary`` aggregation). Tables come published with a checkpoint, in one of three kinds of
file, or from the document frequencies of the collection itself, for which no document has to be
encoded again. In every table negative weights (a table trained past zero) count as zero, as in
OpenSearch's ``relu(idf)``, and so do the tokenizer's special tokens.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, deserialize

from encoders.checkpoint_files import read_json_object
from encoders.errors import CheckpointError
from encoders.query.idf import idf
from encoders.query.tokenizer import WordPieceTokenizer

_SHOWN = 3


def read_table(path: Path, tokenizer: WordPieceTokenizer, size: int) -> NDArray[np.float32]:
    """The published table of a checkpoint; the file's suffix says which kind it is.

    Args:
        path: ``*.safetensors`` with one tensor ``weight``, ``*.json`` with ``{token: weight}``, or
            ``*.txt`` with lines ``token<TAB>weight``. A token that a JSON or text file does not
            name has weight 0, as in sentence-transformers (OpenSearch's files name them all).
        tokenizer: The tokenizer of the queries.
        size: V, rows of the vocabulary; entries past the tokenizer's are 0.

    Returns:
        float32[V], finite and >= 0.

    Raises:
        CheckpointError: The file is broken, or belongs to another tokenizer.
    """
    if tokenizer.vocab_size > size:
        raise CheckpointError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, but the model only {size} "
            "vocabulary rows; they are not of one checkpoint, copy all of it from one source."
        )
    readers = {".safetensors": _read_safetensors, ".json": _read_json, ".txt": _read_text}
    with np.errstate(over="ignore"):  # What float32 cannot hold is refused below.
        weights = readers[path.suffix](path, tokenizer, size).astype(np.float32)
    if not np.isfinite(weights).all():
        raise CheckpointError(
            f"{path} holds a NaN or infinite weight at token id "
            f"{int(np.flatnonzero(~np.isfinite(weights))[0])}; copy the file again from the "
            "checkpoint's source."
        )
    return _without(np.maximum(weights, np.float32(0)), tokenizer.special_ids)


def from_corpus(
    row_count: int,
    doc_freq: ArrayLike,
    *,
    unseen: float | None = None,
    special_ids: Collection[int] = (),
) -> NDArray[np.float32]:
    """The table of a collection: the idf of each token over its rows.

    Args:
        row_count: N, rows of the collection.
        doc_freq: int[V], in how many rows each token stands.
        unseen: Weight of tokens that stand in no row. ``None`` gives them what the formula gives
            for df = 0, the highest weight of all, so that a rare identifier which only an
            expansion produces still counts; OpenSearch's published tables have 1.0 there.
        special_ids: Ids whose weight is 0.

    Returns:
        float32[V].

    Raises:
        ValueError: A frequency is negative or above ``row_count``, or ``unseen`` is negative or
            not finite.

    >>> from_corpus(3, [3, 1, 0], special_ids=[0]).round(4).tolist()
    [0.0, 0.9808, 2.0794]
    """
    frequencies = np.asarray(doc_freq)
    weights = idf(row_count, frequencies)
    if unseen is not None:
        if not (math.isfinite(unseen) and unseen >= 0):
            raise ValueError(f"unseen must be a finite weight >= 0, got {unseen}.")
        weights[frequencies == 0] = unseen
    return _without(weights, special_ids)


def _read_safetensors(path: Path, tokenizer: WordPieceTokenizer, size: int) -> NDArray[np.floating]:
    try:
        tensors = dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. The file is truncated or damaged; copy it again "
            "from the checkpoint's source."
        ) from error
    if list(tensors) != ["weight"] or len(tensors["weight"]["shape"]) != 1:
        found = ", ".join(f"{name} {tensor['shape']}" for name, tensor in tensors.items())
        raise CheckpointError(
            f"{path} must hold one tensor 'weight' with one dimension, got: {found or 'nothing'}."
        )
    values = _values(path, tensors["weight"])
    if not tokenizer.vocab_size <= len(values) <= size:
        raise CheckpointError(
            f"{path} has {len(values)} query weights, but the tokenizer has "
            f"{tokenizer.vocab_size} tokens and the model {size} vocabulary rows; they are not of "
            "one checkpoint, copy all of it from one source."
        )
    return np.pad(values, (0, size - len(values)))


def _values(path: Path, tensor: dict[str, Any]) -> NDArray[np.floating]:
    data, kind = tensor["data"], tensor["dtype"]
    if kind == "BF16":  # numpy has no bfloat16: it is the upper half of a float32.
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    if kind not in ("F64", "F32", "F16"):
        raise CheckpointError(f"{path}: 'weight' must hold floating-point numbers, got {kind}.")
    return np.frombuffer(data, f"<f{int(kind[1:]) // 8}")


def _read_json(path: Path, tokenizer: WordPieceTokenizer, size: int) -> NDArray[np.floating]:
    entries = [(f"token {token!r}", token, weight) for token, weight in _items(path)]
    return _by_token(path, entries, tokenizer, size)


def _items(path: Path) -> Iterable[tuple[str, Any]]:
    return read_json_object(path).items()


def _read_text(path: Path, tokenizer: WordPieceTokenizer, size: int) -> NDArray[np.floating]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. Copy the file again from the checkpoint's source."
        ) from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if line:
            token, _, weight = line.rpartition("\t")
            entries.append((f"line {number}", token, weight))
    return _by_token(path, entries, tokenizer, size)


def _by_token(
    path: Path,
    entries: list[tuple[str, str, Any]],
    tokenizer: WordPieceTokenizer,
    size: int,
) -> NDArray[np.floating]:
    weights = np.zeros(size)
    unknown: list[str] = []
    for place, token, weight in entries:
        try:
            value = float(weight)
        except (TypeError, ValueError):
            raise CheckpointError(
                f"{path}, {place}: expected a token and its weight, got {token!r} and {weight!r}; "
                "copy the file again from the checkpoint's source."
            ) from None
        token_id = tokenizer.id(token)
        if token_id is None:
            unknown.append(token)
        else:
            weights[token_id] = value
    if unknown or not entries:
        raise CheckpointError(
            f"{path} names tokens that the tokenizer does not have ({len(unknown)}, such as "
            f"{', '.join(map(repr, unknown[:_SHOWN]))}); the file and the tokenizer are not of "
            "one checkpoint, copy all of it from one source."
            if unknown
            else f"{path} holds no weights; copy the file again from the checkpoint's source."
        )
    return weights


def _without(weights: NDArray[np.float32], special_ids: Collection[int]) -> NDArray[np.float32]:
    weights[sorted(special_ids)] = 0
    return weights
