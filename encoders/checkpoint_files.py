"""Files of a checkpoint directory: JSON, weights, content hash. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from encoders.errors import CheckpointError

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
EXPORT_CONFIG = "encoder.json"
TRANSFORMER_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Names of a Transformer module's settings, in the order in which sentence-transformers tries them:
its first releases named the file after the architecture."""


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        CheckpointError: The file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} is missing; copy the whole directory from the checkpoint's source."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON: {error}. Copy the file again from the checkpoint's "
            "source."
        ) from error


def read_json_object(path: Path, *, missing_is_empty: bool = False) -> dict[str, Any]:
    """Content of a JSON file that holds an object.

    Args:
        path: The file.
        missing_is_empty: Read a file that does not exist as ``{}``.

    Raises:
        CheckpointError: As :func:`read_json`, or the content is not an object.
    """
    if missing_is_empty and not path.exists():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} must hold a JSON object, got {type(content).__name__}; copy the file again "
            "from the checkpoint's source."
        )
    return content


def transformer_settings(model: Path) -> tuple[str, dict[str, Any]]:
    """Name and content of a Transformer module's settings; ``{}`` where there are none.

    Raises:
        CheckpointError: The file is not JSON.
    """
    for name in TRANSFORMER_FILES:
        settings = read_json_object(model / name, missing_is_empty=True)
        if settings:  # An empty one is passed over there, too.
            return name, settings
    return TRANSFORMER_FILES[0], {}


def is_exported(directory: Path) -> bool:
    """Whether a directory holds an exported encoder (``encoders.exported``), no checkpoint."""
    return (directory / EXPORT_CONFIG).is_file()


def subfolder(directory: Path, relative: Any) -> Path:
    """A folder of the checkpoint that a configuration names; ``""`` is the directory itself.

    Raises:
        CheckpointError: The name leads out of the checkpoint, or to no folder.
    """
    parts = PurePosixPath(relative).parts if isinstance(relative, str) else ("..",)
    if ".." in parts or PurePosixPath(*parts).is_absolute():
        raise CheckpointError(
            f"{directory}: its configuration names the folder {relative!r}, which is not inside "
            "the checkpoint; correct modules.json or router_config.json."
        )
    folder = directory.joinpath(*parts)
    if not folder.is_dir():
        raise CheckpointError(
            f"{directory}: its configuration names the folder {relative!r}, which is missing; "
            "copy the whole directory from the checkpoint's source."
        )
    return folder


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model, in the order of their names.

    Raises:
        CheckpointError: There are none, a shard is missing, or there are pickled weights only.
    """
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if (directory / WEIGHTS_INDEX).is_file():
        return _shards(directory)
    pickled = sorted(path.name for path in directory.glob("*.bin"))
    if pickled:
        raise CheckpointError(
            f"{directory} has its weights only as {pickled[0]}, a pickle, which can run code and "
            'is never read. Convert it once, if you trust its source: python -c "from '
            "transformers import AutoModelForMaskedLM as M; "
            f"M.from_pretrained('{directory}').save_pretrained('{directory}')\""
        )
    raise CheckpointError(
        f"{directory} has no weights: expected {WEIGHTS} (or {WEIGHTS_INDEX} and its shards); "
        "copy the whole directory from the checkpoint's source."
    )


def _shards(directory: Path) -> list[Path]:
    index = directory / WEIGHTS_INDEX
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map; copy the file again from its source.")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if PurePosixPath(name).name != name or not (directory / name).is_file():
            raise CheckpointError(
                f"{index} names the shard {name!r}, which is not a file beside it; copy the whole "
                "directory from the checkpoint's source."
            )
    return [directory / name for name in names]


def content_hash(files: Sequence[Path], contents: Iterable[bytes]) -> str:
    """Hash of files and byte strings together: ``xxh3:`` and 32 hexadecimal digits.

    On a machine that has no more than encoding on a GPU takes, where xxhash is missing, it is
    ``sha256:`` and 64 digits, which no recorded hash equals.
    """
    name, digest = _new_digest()
    for path in files:
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    for content in contents:
        digest.update(content)
    return f"{name}:{digest.hexdigest()}"


def _new_digest() -> tuple[str, Any]:
    try:
        import xxhash
    except ImportError:
        return "sha256", hashlib.sha256()
    return "xxh3", xxhash.xxh3_128()
