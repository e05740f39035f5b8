"""The tokenizer of a checkpoint directory as one ``tokenizer.json``. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from encoders.checkpoint_files import read_json_object
from encoders.errors import CheckpointError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# Names of the normaliser's settings in tokenizer_config.json and in tokenizer.json.
_BERT_SETTINGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def read_tokenizer_json(directories: Sequence[Path], *, lower_case: bool = False) -> bytes:
    """Content of the tokenizer of the first directory that has one.

    A ``tokenizer.json`` is taken as it is, except that what ``tokenizer_config.json`` says of
    BERT's normalisation wins over it, as in transformers. A ``vocab.txt`` alone (checkpoints of
    2021 and before) becomes the WordPiece tokenizer that BERT's original code makes of it.

    Args:
        directories: Where to look, in this order.
        lower_case: Put lower-casing in front of a tokenizer that has none: the effect of
            ``do_lower_case`` in ``sentence_bert_config.json``.

    Raises:
        CheckpointError: No directory has a tokenizer, or it cannot be read.
    """
    for directory in directories:
        if (directory / "tokenizer.json").is_file():
            return _from_tokenizer_json(directory, lower_case)
        if (directory / "vocab.txt").is_file():
            return _from_vocabulary(directory, lower_case)
    raise CheckpointError(
        f"{directories[0]} has no tokenizer: expected tokenizer.json (or BERT's vocab.txt); copy "
        "the whole directory from the checkpoint's source."
    )


def _from_tokenizer_json(directory: Path, lower_case: bool) -> bytes:
    content = (directory / "tokenizer.json").read_bytes()
    tokenizer = read_json_object(directory / "tokenizer.json")
    before = tokenizer.get("normalizer")
    normalizer = dict(before) if isinstance(before, dict) else {}
    if normalizer.get("type") == "BertNormalizer":
        normalizer |= _bert_settings(directory)
    if lower_case:
        normalizer = _with_lower_case(normalizer)
    if normalizer == (before or {}):
        return content
    tokenizer["normalizer"] = normalizer
    return json.dumps(tokenizer, ensure_ascii=False).encode()


def _bert_settings(directory: Path) -> dict[str, Any]:
    settings = read_json_object(directory / "tokenizer_config.json", missing_is_empty=True)
    if "Bert" not in str(settings.get("tokenizer_class", "")):
        return {}
    return {ours: settings[key] for key, ours in _BERT_SETTINGS.items() if key in settings}


def _with_lower_case(normalizer: dict[str, Any]) -> dict[str, Any]:
    steps = [normalizer] if normalizer else []
    if normalizer.get("type") == "Sequence":
        steps = list(normalizer.get("normalizers", []))
    if any(step.get("type") == "Lowercase" or step.get("lowercase") for step in steps):
        return normalizer
    return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}


def _from_vocabulary(directory: Path, lower_case: bool) -> bytes:
    path = directory / "vocab.txt"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. Copy the file again from the checkpoint's source."
        ) from error
    if lines[-1] == "":
        lines.pop()
    vocabulary = {line.rstrip("\r"): number for number, line in enumerate(lines)}
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing or len(vocabulary) != len(lines):
        raise CheckpointError(
            f"{path} is not a BERT vocabulary: "
            + (f"{missing[0]} is missing" if missing else "a token stands in it twice")
            + '. Give the checkpoint a tokenizer.json: python -c "from transformers import '
            f"AutoTokenizer as T; T.from_pretrained('{directory}').save_pretrained('{directory}')\""
        )
    settings = read_json_object(directory / "tokenizer_config.json", missing_is_empty=True)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL_TOKENS[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=lower_case or settings.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer.to_str().encode()
