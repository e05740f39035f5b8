"""A directory of sentence-transformers whose last module is a SparseAutoEncoder (CSR). No torch.

``modules.json`` names a Transformer, Pooling, where wanted Normalize, and a SparseAutoEncoder,
each with a folder of its own (arXiv 2503.01776).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from encoders.checkpoint import Checkpoint, Pooling, class_name, max_length
from encoders.checkpoint_files import read_json, read_json_object, subfolder, transformer_settings
from encoders.errors import CheckpointError

SentencePooling = Literal["mean", "cls", "max"]

_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_MOST_ATOMS = 1 << 30
_CHAINS = (
    ["Transformer", "Pooling", "SparseAutoEncoder"],
    ["Transformer", "Pooling", "Normalize", "SparseAutoEncoder"],
)


@dataclass(frozen=True, slots=True)
class CsrCheckpoint:
    """Where the modules lie and what their configurations say.

    Attributes:
        base: The Transformer's folder, configuration, limit and document prompt.
        query_prompt: Text put in front of every query.
        pooling: How the states of tokens become one vector.
        normalize_embedding: Whether that vector is scaled to length 1.
        dictionary_directory: Folder of the SparseAutoEncoder.
        input_dim: d, width of the vector.
        hidden_dim: m, number of atoms.
        k: Atoms kept of a text.
        standardize: Whether the vector is centred and divided by its deviation before encoding.
    """

    base: Checkpoint
    query_prompt: str
    pooling: SentencePooling
    normalize_embedding: bool
    dictionary_directory: Path
    input_dim: int
    hidden_dim: int
    k: int
    standardize: bool


def read_csr_checkpoint(directory: Path) -> CsrCheckpoint:
    """Reads the configurations of a CSR directory.

    Raises:
        CheckpointError: There is no such directory, its modules are others, or a value is not
            one that they can have.
    """
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory} is not a directory; give that of a CSR checkpoint, such as sae:DIR."
        )
    modules = read_json(directory / "modules.json")
    try:
        chain = [(str(m["path"]), class_name(m["type"])) for m in modules]
    except (TypeError, KeyError) as error:
        raise CheckpointError(
            f"{directory / 'modules.json'} must be a list of modules with path and type; copy the "
            "file again from the checkpoint's source."
        ) from error
    names = [name for _, name in chain]
    if names not in _CHAINS:
        raise CheckpointError(
            f"{directory} is not a CSR checkpoint: its modules are {' > '.join(names) or 'none'}, "
            f"expected {' > '.join(_CHAINS[0])}, with or without Normalize. Classes that come "
            "with a checkpoint are never run."
        )
    model, pooling_folder = subfolder(directory, chain[0][0]), subfolder(directory, chain[1][0])
    dictionary = subfolder(directory, chain[-1][0])
    prompts = _prompts(directory)
    settings = read_json_object(dictionary / "config.json")
    hidden_dim = _whole(dictionary, settings, "hidden_dim", 512)
    return CsrCheckpoint(
        base=_base(directory, model, prompts.get("document", "")),
        query_prompt=prompts.get("query", ""),
        pooling=_pooling(pooling_folder, any(prompts.values())),
        normalize_embedding="Normalize" in names,
        dictionary_directory=dictionary,
        input_dim=_whole(dictionary, settings, "input_dim", None),
        hidden_dim=hidden_dim,
        k=_whole(dictionary, settings, "k", 8, hidden_dim),
        standardize=_switch(dictionary, settings, "normalize"),
    )


def _base(directory: Path, model: Path, prompt: str) -> Checkpoint:
    config = read_json_object(model / "config.json")
    _, transformer = transformer_settings(model)
    task = transformer.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise CheckpointError(
            f"{model}: transformer_task must be 'feature-extraction' in front of Pooling, got "
            f"{task!r}; use another checkpoint."
        )
    return Checkpoint(
        directory=directory,
        layout="csr",
        model_directory=model,
        config=config,
        pooling=Pooling(),
        query_directory=None,
        table_file=None,
        max_length=max_length(model, config),
        lower_case=bool(transformer.get("do_lower_case", False)),
        document_prompt=prompt,
    )


def _prompts(directory: Path) -> dict[str, str]:
    whole = read_json_object(directory / "config_sentence_transformers.json", missing_is_empty=True)
    prompts = whole.get("prompts")
    return {k: str(v or "") for k, v in prompts.items()} if isinstance(prompts, dict) else {}


def _pooling(folder: Path, prompted: bool) -> SentencePooling:
    settings = read_json_object(folder / "config.json")
    old = [mode for key, mode in _LEGACY_POOLING.items() if settings.get(key)] or ["mean"]
    modes = settings.get("pooling_mode", old)
    mode = modes[0] if isinstance(modes, list) and len(modes) == 1 else modes
    if mode not in ("mean", "cls", "max"):
        raise CheckpointError(
            f"{folder / 'config.json'}: pooling_mode must be 'mean', 'cls' or 'max', got {mode!r}; "
            "use another checkpoint."
        )
    if prompted and not settings.get("include_prompt", True):
        raise CheckpointError(
            f"{folder / 'config.json'}: include_prompt must be true where there are prompts; use "
            "another checkpoint."
        )
    return mode  # type: ignore[no-any-return]


def _whole(
    folder: Path, settings: dict[str, Any], key: str, default: int | None, most: int = _MOST_ATOMS
) -> int:
    value = settings.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise CheckpointError(
        f"{folder / 'config.json'}: {key} must be a whole number from 1 to {most}, got {value!r}; "
        "copy the file again from the checkpoint's source."
    )


def _switch(folder: Path, settings: dict[str, Any], key: str) -> bool:
    value = settings.get(key, False)
    if not isinstance(value, bool):
        raise CheckpointError(
            f"{folder / 'config.json'}: {key} must be true or false, got {value!r}; copy the file "
            "again from the checkpoint's source."
        )
    return value
