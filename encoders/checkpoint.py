"""What a directory with a SPLADE-type checkpoint holds, told from its files. No torch.

These layouts are read, each as sentence-transformers or transformers writes it:

``router``
    ``modules.json`` names a Router and ``router_config.json`` a document route (masked language
    model, SpladePooling) and a query route: a SparseStaticEmbedding for inference-free models
    such as OpenSearch's. The model lies in a ``document_0_*`` folder or in the root.
``splade``
    ``modules.json`` names a masked language model and SpladePooling, one encoder for both sides;
    it encodes the documents here.
``masked-lm``
    No ``modules.json``, a ``config.json`` whose architecture ends in ``ForMaskedLM``, with or
    without a published query table (``query_token_weights.txt``, ``idf.json``).

``csr``
    ``modules.json`` ends in a SparseAutoEncoder; ``encoders.csr_layout`` reads it.

Classes are recognised by the last component of their path, which is the same in every release
of sentence-transformers; none is imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from encoders.checkpoint_files import (
    WEIGHTS,
    read_json,
    read_json_object,
    subfolder,
    transformer_settings,
)
from encoders.errors import CheckpointError
from encoders.row_settings import RowSettings, read_row_settings

Layout = Literal["router", "splade", "masked-lm", "csr"]
PoolingStrategy = Literal["max", "sum"]
Activation = Literal["relu", "log1p_relu"]

LANGUAGE_MODELS = frozenset({"Transformer", "MLMTransformer"})
STATIC_EMBEDDINGS = frozenset({"SparseStaticEmbedding", "IDF"})
TABLE_FILES = ("query_token_weights.txt", "idf.json")

DEFAULT_MAX_LENGTH = 512

# transformers writes 1e30 for "no limit" into tokenizer_config.json.
_UNLIMITED = 1 << 31
# These number positions from padding_idx + 1, so that many rows of the table are never used.
_OFFSET_POSITIONS = frozenset(
    {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "xlm-roberta"}
)


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the logits of a text's tokens become one weight per vocabulary entry.

    Attributes:
        strategy: ``max`` or ``sum`` over the tokens.
        activation: ``relu`` for ``log1p(relu(x))``, ``log1p_relu`` for
            ``log1p(log1p(relu(x)))``.
    """

    strategy: PoolingStrategy = "max"
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        if self.strategy not in get_args(PoolingStrategy):
            raise CheckpointError(
                f"pooling_strategy must be 'max' or 'sum', got {self.strategy!r}."
            )
        if self.activation not in get_args(Activation):
            raise CheckpointError(
                f"activation_function must be 'relu' or 'log1p_relu', got {self.activation!r}."
            )


@dataclass(frozen=True, slots=True)
class Chain:
    """A masked language model and what stands behind it.

    Attributes:
        directory: Folder of the model: config.json, weights, tokenizer.
        pooling: Pooling and activation; plain ``log1p(relu)`` and maximum where nothing is said.
    """

    directory: Path
    pooling: Pooling


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the pieces of a checkpoint lie, and the settings that come with it.

    Attributes:
        directory: The directory as given.
        layout: See the module's text.
        model_directory: Folder of the masked language model: config.json, weights, tokenizer.
        config: Content of its ``config.json``.
        pooling: Pooling and activation.
        query_directory: Folder of the static query embedding, which has a tokenizer of its own.
        table_file: File with the published query weights, if there is one.
        max_length: Most tokens of a text that the model reads, special tokens included.
        lower_case: Whether texts are lower-cased in front of the tokenizer.
        document_prompt: Text put in front of every document.
        rows: Pruning and the counting of repeated query tokens.
        query_chain: A Router's network for queries, where it has one.
        query_prompt: Text put in front of every query of a network.
        query_table: Where query weights come from if there is no ``table_file``: ``corpus``, or
            ``content`` where an export says so; see ``encoders.splade_options``.
    """

    directory: Path
    layout: Layout
    model_directory: Path
    config: Mapping[str, Any]
    pooling: Pooling
    query_directory: Path | None
    table_file: Path | None
    max_length: int
    lower_case: bool
    document_prompt: str
    rows: RowSettings = field(default_factory=RowSettings)
    query_chain: Chain | None = None
    query_prompt: str = ""
    query_table: Literal["corpus", "content"] = "corpus"


def read_checkpoint(directory: Path) -> Checkpoint:
    """Recognises the layout of a directory and reads its configurations.

    Raises:
        CheckpointError: There is no such directory, it holds no SPLADE-type checkpoint, or one
            of its files is broken.
    """
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory} is not a directory; give the directory of a SPLADE-type checkpoint, "
            "such as splade:DIR."
        )
    found = _recognise(directory)
    config, limit, lower_case = _read_model(found.documents.directory)
    whole = read_json_object(directory / "config_sentence_transformers.json", missing_is_empty=True)
    prompts = whole.get("prompts")
    prompts = prompts if isinstance(prompts, dict) else {}
    if found.static is not None and prompts.get("query"):
        raise CheckpointError(
            f"{directory} puts the prompt {prompts['query']!r} in front of queries, which an "
            "index cannot do; use a checkpoint without a query prompt."
        )
    return Checkpoint(
        directory=directory,
        layout=found.layout,
        model_directory=found.documents.directory,
        config=config,
        pooling=found.documents.pooling,
        query_directory=found.static,
        table_file=_table_file(directory, found.documents.directory, found.static),
        max_length=limit,
        lower_case=lower_case,
        document_prompt=str(prompts.get("document") or ""),
        rows=read_row_settings(directory, config, whole),
        query_chain=found.queries,
        query_prompt=str(prompts.get("query") or ""),
    )


def query_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint whose documents are the queries of this one, encoded by a network.

    That is the network of the Router's query route, or that of the documents where both sides
    share one. Prompt, limit and tokenizer are those of queries, and nothing is pruned.

    Raises:
        CheckpointError: A file of the query route is broken or missing.
    """
    queries = dataclasses.replace(
        checkpoint,
        table_file=None,
        document_prompt=checkpoint.query_prompt,
        rows=RowSettings(),
        query_chain=None,
    )
    chain = checkpoint.query_chain
    if chain is None:
        return queries
    config, limit, lower_case = _read_model(chain.directory)
    return dataclasses.replace(
        queries,
        model_directory=chain.directory,
        config=config,
        pooling=chain.pooling,
        max_length=limit,
        lower_case=lower_case,
    )


def position_limit(config: Mapping[str, Any]) -> int | None:
    """Longest input that the position table of a model has room for, ``None`` for any."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:
        return None
    if str(config.get("model_type")) in _OFFSET_POSITIONS:
        padding = config.get("pad_token_id", 1)
        positions -= (padding if isinstance(padding, int) else 1) + 1
    return positions


def _read_model(directory: Path) -> tuple[dict[str, Any], int, bool]:
    """Content of config.json, longest text, and whether texts are lower-cased."""
    config = read_json_object(directory / "config.json")
    _, transformer = transformer_settings(directory)
    task = transformer.get("transformer_task", "fill-mask")
    if task != "fill-mask":
        raise CheckpointError(
            f"{directory} is a model for {task!r}, not a masked language model; use a SPLADE-type "
            "checkpoint."
        )
    lower_case = bool(transformer.get("do_lower_case", False))
    return config, max_length(directory, config), lower_case


@dataclass(frozen=True, slots=True)
class _Found:
    """A layout and its routes; queries have a static embedding, a network of their own, or none."""

    layout: Layout
    documents: Chain
    static: Path | None = None
    queries: Chain | None = None


def _recognise(directory: Path) -> _Found:
    if (directory / "vsplade_config.json").exists():
        raise CheckpointError(
            f"{directory} is a V-SPLADE checkpoint for page images; use one for text."
        )
    if (directory / "modules.json").exists():
        modules = read_json(directory / "modules.json")
        try:
            chain = [(str(m["path"]), class_name(m["type"])) for m in modules]
        except (TypeError, KeyError) as error:
            raise CheckpointError(
                f"{directory / 'modules.json'} must be a list of modules with path and type; copy "
                "the file again from the checkpoint's source."
            ) from error
        if [name for _, name in chain] == ["Router"]:
            return _router(directory, subfolder(directory, chain[0][0]))
        return _Found("splade", _chain(directory, directory, chain))
    if (directory / "router_config.json").exists():
        return _router(directory, directory)
    config = read_json_object(directory / "config.json")
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    if not any(str(name).endswith("ForMaskedLM") for name in names):
        raise CheckpointError(
            f"{directory} is not a SPLADE-type checkpoint: config.json names the architectures "
            f"{names}, expected one that ends in ForMaskedLM."
        )
    return _Found("masked-lm", Chain(directory, Pooling()))


def _router(directory: Path, base: Path) -> _Found:
    path = base / "router_config.json"
    router = read_json_object(path if path.exists() else base / "config.json")
    types, structure = router.get("types"), router.get("structure")
    try:
        routes = {
            str(route): [(str(i), class_name(types[i])) for i in ids]  # type: ignore[index]
            for route, ids in structure.items()  # type: ignore[union-attr]
        }
        documents, queries = routes["document"], routes["query"]
    except (TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path} must name the modules of a 'query' and a 'document' route (types and "
            "structure); copy the file again from the checkpoint's source."
        ) from error
    encoder = _chain(directory, base, documents)
    names = [name for _, name in queries]
    if len(names) == 1 and names[0] in STATIC_EMBEDDINGS:
        return _Found("router", encoder, static=subfolder(base, queries[0][0]))
    # A query encoder of its own (efficient SPLADE): in an index queries get the idf of the corpus.
    return _Found("router", encoder, queries=_chain(directory, base, queries))


def _chain(directory: Path, base: Path, chain: list[tuple[str, str]]) -> Chain:
    names = [name for _, name in chain]
    if "SparseAutoEncoder" in names:
        raise CheckpointError(
            f"{directory} is a CSR checkpoint ({' > '.join(names)}): its queries need the network "
            "as its documents do, and an index answers queries without one. Use a SPLADE-type "
            "checkpoint for an index; encoders.sae encodes documents and queries of this one."
        )
    if len(names) != 2 or names[0] not in LANGUAGE_MODELS or names[1] != "SpladePooling":
        raise CheckpointError(
            f"{directory} is not a SPLADE-type checkpoint: its modules are "
            f"{' > '.join(names) or 'none'}, expected a masked language model (Transformer) and "
            "SpladePooling. Classes that come with a checkpoint are never run."
        )
    path = subfolder(base, chain[1][0]) / "config.json"
    settings = read_json_object(path)
    try:
        pooling = Pooling(
            settings.get("pooling_strategy", "max"), settings.get("activation_function", "relu")
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Chain(subfolder(base, chain[0][0]), pooling)


def class_name(path: Any) -> str:
    """Last component of a class path: the same in every release of sentence-transformers."""
    if not isinstance(path, str):
        raise TypeError(path)
    return path.rpartition(".")[2]


def _table_file(directory: Path, model: Path, query: Path | None) -> Path | None:
    candidates = [folder / name for name in TABLE_FILES for folder in (directory, model)]
    if query is not None:
        # An early release kept only the name of its idf.json here.
        named = str(read_json_object(query / "config.json", missing_is_empty=True).get("path", ""))
        if named.endswith(".json"):
            candidates.insert(0, query / Path(named).name)
        candidates.insert(0, query / WEIGHTS)
    found = next((path for path in candidates if path.is_file()), None)
    if query is not None and found is None:
        raise CheckpointError(
            f"{query} has no query weights: expected {WEIGHTS} in it, or one of "
            f"{', '.join(TABLE_FILES)} in {directory}; copy the whole directory from the "
            "checkpoint's source."
        )
    return found


def max_length(model: Path, config: Mapping[str, Any]) -> int:
    """Most tokens that a model in this folder reads: what its files say, within its positions.

    Raises:
        CheckpointError: A limit is not a number from 1.
    """
    name, transformer = transformer_settings(model)
    tokenizer = read_json_object(model / "tokenizer_config.json", missing_is_empty=True)
    positions = position_limit(config)
    for source, value in (
        (f"{name}: max_seq_length", transformer.get("max_seq_length")),
        ("tokenizer_config.json: model_max_length", tokenizer.get("model_max_length")),
    ):
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{model}: {source} must be a number from 1, got {value!r}.")
        if value < _UNLIMITED:
            return min(int(value), positions or int(value))
    return min(DEFAULT_MAX_LENGTH, positions or DEFAULT_MAX_LENGTH)
