"""WordPiece tokenisation as the checkpoints define it, without torch or transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

from tokenizers import Encoding, Tokenizer

from encoders.errors import EncoderError
from encoders.query.pretokens import PretokenCache, splits_like_bert

_MAX_KEPT_CHARACTERS = 1000
"""Length of a text whose tokens are kept: queries are shorter."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class WordPieceTokenizer:
    """Tokens of a Hugging Face ``tokenizer.json``, with no special tokens added and no limit.

    A special token spelled out in a text, such as ``[MASK]`` in an article about BERT, is read
    as the plain text that it is. Safe to share between threads.

    Attributes:
        vocab_size: Number of token ids, added tokens included.
        special_ids: Ids of ``[PAD]``, ``[UNK]``, ``[CLS]``, ... (``ids`` gives none of them but
            that of the unknown token, for a word that the vocabulary cannot spell).

    >>> tokenizer = WordPieceTokenizer(default_tokenizer_json())
    >>> [tokenizer.token(i) for i in tokenizer.ids("Sparse retrieval")]
    ['sparse', 'retrieval']
    """

    def __init__(self, tokenizer_json: bytes) -> None:
        """Reads the content of a ``tokenizer.json``.

        Raises:
            EncoderError: The content is not a tokenizer, or one with an empty vocabulary.
        """
        try:
            # tokenizers raises bare Exception for whatever is wrong with the content.
            self._tokenizer = Tokenizer.from_str(tokenizer_json.decode("utf-8"))
        except Exception as error:
            raise EncoderError(
                f"tokenizer.json cannot be read: {error}. It must be the UTF-8 JSON file that "
                "Hugging Face tokenizers writes; copy it again from the checkpoint, or convert "
                "the checkpoint's vocab.txt with transformers."
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise EncoderError(
                "tokenizer.json has an empty vocabulary; copy the file again from the checkpoint."
            )
        self._ids: dict[str, int] = vocabulary
        self._tokens = [""] * (max(vocabulary.values()) + 1)
        for token, token_id in vocabulary.items():
            self._tokens[token_id] = token
        added = self._tokenizer.get_added_tokens_decoder()
        self.special_ids: frozenset[int] = frozenset(i for i, t in added.items() if t.special)
        self.vocab_size: int = len(self._tokens)
        self._cache = PretokenCache(self._encode) if splits_like_bert(tokenizer_json) else None
        self._last: tuple[str, list[int]] = ("", [])

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, in order."""
        last, found = self._last  # a learned part and static vectors ask for one query in turn
        if text != last:
            found = self._encode(text) if self._cache is None else self._cache.ids(text)
            if len(text) <= _MAX_KEPT_CHARACTERS:
                self._last = (text, found)
        return list(found)

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        if self._cache is not None:
            return [self._cache.ids(text) for text in texts]
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._encoding(text).ids
        return ids

    def _encoding(self, text: str) -> Encoding:
        try:
            return self._tokenizer.encode(text, add_special_tokens=False)
        except TypeError:
            # Half of a surrogate pair is no character; tokenizers cannot take it as a str.
            return self._tokenizer.encode(without_half_pairs(text), add_special_tokens=False)

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """(token id, start, end) of each token; offsets count the characters of ``text``."""
        encoding = self._encoding(text)
        return [
            (token_id, start, end)
            for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    def token(self, token_id: int) -> str:
        """The token of an id.

        Raises:
            EncoderError: No token has this id.
        """
        token = self._tokens[token_id] if 0 <= token_id < self.vocab_size else ""
        if not token:
            raise EncoderError(
                f"the vocabulary has no token id {token_id}; ids run from 0 to "
                f"{self.vocab_size - 1}."
            )
        return token

    def tokens(self) -> list[str]:
        """The token of every id, in the order of the ids; empty for an id that has none."""
        return list(self._tokens)

    def id(self, token: str) -> int | None:
        """The id of a token, ``None`` for one that is not in the vocabulary."""
        return self._ids.get(token)


def without_half_pairs(text: str) -> str:
    """A text in which each half of a surrogate pair is one replacement character."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def shared_tokenizer(tokenizer_json: bytes) -> WordPieceTokenizer:
    """One tokenizer for the process of all contents that differ in truncation and padding alone.

    Raises:
        EncoderError: As for the class.
    """
    try:
        content = json.loads(tokenizer_json)
        canonical = json.dumps({**content, "truncation": None, "padding": None}, sort_keys=True)
    except (ValueError, TypeError, RecursionError):
        return WordPieceTokenizer(tokenizer_json)  # which says what is wrong
    return _tokenizer_of(canonical)


@lru_cache(maxsize=8)
def _tokenizer_of(canonical: str) -> WordPieceTokenizer:
    return WordPieceTokenizer(canonical.encode())


@lru_cache(maxsize=1)
def default_tokenizer_json() -> bytes:
    """The shipped ``tokenizer.json`` of bert-base-uncased (30,522 WordPiece tokens)."""
    return resources.files("encoders.query").joinpath("data", "tokenizer.json").read_bytes()
