"""Saves a SPLADE-type checkpoint in the layout of OpenSearch's inference-free models.

That is what sentence-transformers loads as a SparseEncoder with a Router: the masked language
model and SpladePooling for documents, a SparseStaticEmbedding for queries. Beside it stand the
query weights in the two forms that OpenSearch's own tools read, ``idf.json`` and
``query_token_weights.txt``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from encoders.checkpoint import Checkpoint, read_checkpoint
from encoders.checkpoint_files import WEIGHTS, read_json_object, weight_files
from encoders.checkpoint_tokenizer import SPECIAL_TOKENS, read_tokenizer_json
from encoders.errors import EncoderError
from encoders.query.tokenizer import WordPieceTokenizer
from encoders.query_factors import QUERY_FACTORS
from encoders.row_settings import RowSettings
from encoders.splade import create
from encoders.splade_base import SpladeBase
from encoders.splade_options import split_argument

POOLING = "document_1_SpladePooling"
STATIC_EMBEDDING = "query_0_SparseStaticEmbedding"

_CLASSES = "sentence_transformers.sparse_encoder.models"
_TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def save_router_layout(
    argument: str, output: Path, *, query_weights: NDArray[np.float32] | None = None
) -> None:
    """Loads a checkpoint of any layout and saves it in the Router layout.

    Weights and tokenizers are copied, activation, pooling and length limit are those that the
    settings give. Trained factors of query weights (``encoders.query_factors``) go into the query
    weights, so that scores remain. Pruning and ``aggregation=sum`` are recorded for Winnow
    (``encoders.row_settings``): sentence-transformers prunes nothing, counts a repeated query
    token once, zeroes no special tokens, and keeps the rest.

    Args:
        argument: Directory and settings, as behind ``splade:``, such as
            ``DIR?activation=log1p_relu``.
        output: A directory that does not exist yet; it appears when it is complete.
        query_weights: float32[V] for a checkpoint that publishes none, e.g. of
            ``encoders.query.table.from_corpus``; for one that does they replace its own. Without
            the trained factors.

    Raises:
        CheckpointError: The checkpoint is not valid.
        EncoderError: There are no query weights or they do not fit the vocabulary, rows would be
            pruned by other weights than before, or ``output`` exists.
    """
    if output.exists():
        raise EncoderError(f"{output} exists; give a directory that does not.")
    encoder = create("splade", argument)
    checkpoint = read_checkpoint(split_argument(argument)[0])
    side = encoder.query_side()
    tokenizer = WordPieceTokenizer(side.tokenizer_json or b"")
    weights = _checked(
        checkpoint.directory, tokenizer, side.table if query_weights is None else query_weights
    )
    if encoder.query_factors is not None:
        _refuse_pruning(encoder)
        weights *= encoder.query_factors[: len(weights)]
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as name:
        work = Path(name) / "checkpoint"
        _write_model(work, checkpoint, encoder)
        _write_query_side(work, checkpoint, side.tokenizer_json or b"", weights)
        _write_tables(work, tokenizer, weights)
        work.rename(output)


def _refuse_pruning(encoder: SpladeBase) -> None:
    if encoder.pruning.kind != "none":
        raise EncoderError(
            f"{encoder.checkpoint.directory} has trained query factors ({QUERY_FACTORS}), which "
            f"the Router layout keeps in the query weights, so that prune={encoder.pruning} would "
            "drop other weights of a document than before; add prune=none to the settings."
        )


def _checked(
    directory: Path, tokenizer: WordPieceTokenizer, weights: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    if weights is None:
        raise EncoderError(
            f"{directory} publishes no query weights, which the Router layout needs; give "
            "query_weights, such as the idf of a collection."
        )
    size = tokenizer.vocab_size
    if weights.ndim != 1 or len(weights) < size or not np.isfinite(weights).all():
        raise EncoderError(
            f"query_weights must be at least {size} finite numbers, one for each token, got the "
            f"shape {weights.shape}."
        )
    if np.any(weights[size:]):
        raise EncoderError(f"query_weights has weights past the {size} tokens of the tokenizer.")
    return np.array(weights[:size], dtype=np.float32)


def _write_model(work: Path, checkpoint: Checkpoint, encoder: SpladeBase) -> None:
    source, max_length = checkpoint.model_directory, encoder.tokenizers.max_length
    work.mkdir()
    files = weight_files(source)
    copied = [source / "config.json", *files]
    if files[0].name != WEIGHTS:
        copied.append(source / f"{WEIGHTS}.index.json")
    for file in copied:
        shutil.copyfile(file, work / file.name)
    places = [source, checkpoint.directory]
    tokenizer_json = read_tokenizer_json(places, lower_case=checkpoint.lower_case)
    _write_tokenizer(work, places, tokenizer_json, max_length)
    _write_json(
        work / "sentence_bert_config.json",
        {"max_seq_length": max_length, "do_lower_case": checkpoint.lower_case},
    )
    _write_json(
        work / POOLING / "config.json",
        {
            "pooling_strategy": encoder.pooling.strategy,
            "activation_function": encoder.pooling.activation,
            "word_embedding_dimension": None,
        },
    )
    _write_json(
        work / "modules.json",
        [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}],
    )
    _write_json(
        work / "router_config.json",
        {
            "types": {
                STATIC_EMBEDDING: f"{_CLASSES}.SparseStaticEmbedding",
                "": f"{_CLASSES}.MLMTransformer",
                POOLING: f"{_CLASSES}.SpladePooling",
            },
            "structure": {"query": [STATIC_EMBEDDING], "document": ["", POOLING]},
            "parameters": {"default_route": "document", "allow_empty_key": True},
        },
    )
    whole: dict[str, Any] = {"model_type": "SparseEncoder", "similarity_fn_name": "dot"}
    whole["prompts"] = {"query": "", "document": checkpoint.document_prompt}
    whole |= RowSettings(encoder.pruning, encoder.aggregation).as_json()
    _write_json(work / "config_sentence_transformers.json", whole)


def _write_query_side(
    work: Path, checkpoint: Checkpoint, tokenizer_json: bytes, weights: NDArray[np.float32]
) -> None:
    directory = work / STATIC_EMBEDDING
    _write_json(directory / "config.json", {"frozen": True})
    save_file({"weight": weights}, directory / WEIGHTS, metadata={"format": "pt"})
    places = [checkpoint.model_directory, checkpoint.directory]
    if checkpoint.query_directory is not None:
        places.insert(0, checkpoint.query_directory)
    _write_tokenizer(directory, places, tokenizer_json, None)


def _write_tokenizer(
    directory: Path, places: list[Path], tokenizer_json: bytes, max_length: int | None
) -> None:
    """The files of a tokenizer: its own, and what transformers reads beside it."""
    (directory / "tokenizer.json").write_bytes(tokenizer_json)
    for name in _TOKENIZER_FILES:
        found = next((place / name for place in places if (place / name).is_file()), None)
        if found is not None:
            shutil.copyfile(found, directory / name)
    path = directory / "tokenizer_config.json"
    settings = read_json_object(path, missing_is_empty=True)
    if not settings:
        known = WordPieceTokenizer(tokenizer_json)
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        for token in SPECIAL_TOKENS:
            if known.id(token) is not None:
                settings[f"{token[1:-1].lower()}_token"] = token
    if max_length is not None:
        settings["model_max_length"] = max_length
    _write_json(path, settings)


def _write_tables(work: Path, tokenizer: WordPieceTokenizer, weights: NDArray[np.float32]) -> None:
    # The shortest decimal number that is this float32 again.
    named = {
        token: float(str(weight))
        for token, weight in zip(tokenizer.tokens(), weights, strict=True)
        if token
    }
    _write_json(work / "idf.json", named)
    lines = (f"{token}\t{weight}\n" for token, weight in named.items() if "\n" not in token)
    (work / "query_token_weights.txt").write_text("".join(lines), encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
