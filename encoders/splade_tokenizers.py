"""The two tokenizers of a SPLADE-type checkpoint: that of its documents, that of its queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from encoders.base import SparseRows
from encoders.checkpoint import Checkpoint
from encoders.checkpoint_tokenizer import read_tokenizer_json
from encoders.errors import CheckpointError, EncoderError
from encoders.query.tokenizer import WordPieceTokenizer, without_half_pairs


class SpladeTokenizers:
    """Token ids of documents and queries, which share one vocabulary.

    Attributes:
        max_length: Most tokens of a document, added special tokens included.
        document_json: The documents' ``tokenizer.json``.
        query_json: The queries' ``tokenizer.json``.
        query: The queries' tokenizer, which also counts the tokens of documents.
        special_ids: Ids of special tokens, in order.
        special_token_count: Tokens added to every document.
        empty_length: Length of a document without any text.
    """

    def __init__(self, checkpoint: Checkpoint, max_length: int) -> None:
        """Reads the tokenizers.

        Raises:
            CheckpointError: A tokenizer is missing or broken, or the two number their tokens
                differently.
            EncoderError: ``max_length`` leaves no room for text.
        """
        self.max_length = max_length
        self._directory = checkpoint.directory
        self._prompt = checkpoint.document_prompt
        places = [checkpoint.model_directory, checkpoint.directory]
        self.document_json = read_tokenizer_json(places, lower_case=checkpoint.lower_case)
        self.query_json = self.document_json
        if checkpoint.query_directory is not None:
            self.query_json = read_tokenizer_json([checkpoint.query_directory, *places])
        self._document = self._read(self.document_json)
        self.query = self._read(self.query_json)
        if self.document_json != self.query_json:
            refuse_other_numbers(self._directory, self._document, self.query)
        self.special_ids = sorted(self.query.special_ids)
        self._encoder = Tokenizer.from_str(self.document_json.decode())
        self.special_token_count = self._encoder.num_special_tokens_to_add(False)
        if max_length <= self.special_token_count:
            raise EncoderError(
                f"max_length={max_length} leaves no room for text: the tokenizer adds "
                f"{self.special_token_count} special tokens to each; give at least "
                f"{self.special_token_count + 1}."
            )
        self._encoder.no_padding()
        self._encoder.enable_truncation(max_length)
        # A text that spells out [MASK] means the characters, in documents as in queries.
        self._encoder.encode_special_tokens = True
        self.empty_length = len(self.encode([""])[0])
        if self.empty_length >= max_length:
            raise EncoderError(
                f"max_length={max_length} leaves no room for text: the checkpoint's prompt "
                f"{self._prompt!r} and special tokens take {self.lengths([''])[0]} tokens of each; "
                "give a larger one."
            )

    def check_vocabulary(self, size: int) -> None:
        """Refuses a tokenizer with more tokens than the model has vocabulary rows.

        Raises:
            CheckpointError: See above. Rows past the tokenizer's last token are padding.
        """
        if self._document.vocab_size > size:
            raise CheckpointError(
                f"{self._directory}: the tokenizer has {self._document.vocab_size} tokens, but the "
                f"model only {size} vocabulary rows; they are not of one checkpoint, copy all of "
                "it from one source."
            )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of documents as the model reads them: prompt, special tokens, truncated."""
        prompted = [self._prompt + text for text in texts]
        try:
            encodings = self._encoder.encode_batch_fast(prompted)
        except TypeError:
            encodings = self._encoder.encode_batch_fast([*map(without_half_pairs, prompted)])
        return [encoding.ids for encoding in encodings]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Lengths of :meth:`encode` before truncation."""
        rows = self._document.ids_batch([self._prompt + text for text in texts])
        return [len(row) + self.special_token_count for row in rows]

    def count(self, texts: Sequence[str]) -> SparseRows:
        """How often each token stands in each text: nothing added, truncated or special."""
        rows = self.query.ids_batch(texts)
        width = self.query.vocab_size
        ids = np.fromiter((i for row in rows for i in row), dtype=np.int64)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        row_of = np.repeat(np.arange(len(rows)), lengths)
        plain = ~np.isin(ids, self.special_ids)
        keys, counts = np.unique(row_of[plain] * width + ids[plain], return_counts=True)
        starts = np.arange(len(rows) + 1, dtype=np.int64) * width
        return SparseRows(
            np.searchsorted(keys, starts).astype(np.int64),
            (keys % width).astype(np.uint32),
            counts.astype(np.float32),
        )

    def _read(self, tokenizer_json: bytes) -> WordPieceTokenizer:
        try:
            return WordPieceTokenizer(tokenizer_json)
        except EncoderError as error:
            raise CheckpointError(f"{self._directory}: {error}") from error


def refuse_other_numbers(
    directory: Path, documents: WordPieceTokenizer, queries: WordPieceTokenizer
) -> None:
    """Refuses two tokenizers that number their tokens differently.

    Raises:
        CheckpointError: See above.
    """
    for i in range(max(documents.vocab_size, queries.vocab_size)):
        ours, theirs = _token(documents, i), _token(queries, i)
        if ours != theirs:
            raise CheckpointError(
                f"{directory}: token id {i} is {ours!r} in the documents' tokenizer and "
                f"{theirs!r} in the queries'; copy all of the checkpoint from one source."
            )


def _token(tokenizer: WordPieceTokenizer, token_id: int) -> str | None:
    try:
        return tokenizer.token(token_id)
    except EncoderError:
        return None
