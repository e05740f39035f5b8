"""Which passages a document becomes, given the encoders that will read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from encoders.base import Document
from indexer.corpus.passages import PassageSpan, passage_document, split_passages
from indexer.draft import Spaces
from indexer.settings import DEFAULT_PASSAGE_WORDS, BuildSettings

WHOLE_BESIDE_WORDS = 2.0
"""How many windows of an encoder a document may fill and stay whole, where another part of its
space reads all of it: cut in two, such a document loses more (its words no longer stand together)
than by an encoder that reads its beginning (docs/default-model.md)."""


@runtime_checkable
class LimitedEncoder(Protocol):
    """An encoder that reads a bounded number of tokens and can count them."""

    @property
    def special_token_count(self) -> int:
        """Tokens that the encoder adds to every text."""
        ...

    def token_lengths(self, texts: Sequence[str]) -> Sequence[int]:
        """Number of tokens of each text, those that are added included."""
        ...


def count_words(texts: Sequence[str]) -> list[int]:
    """Words separated by white space: the measure for encoders without a limit."""
    return [len(text.split()) for text in texts]


def _count_own_tokens(encoder: LimitedEncoder, texts: Sequence[str]) -> list[int]:
    """Tokens of pieces of a text: the added ones are not counted for each piece."""
    return [length - encoder.special_token_count for length in encoder.token_lengths(texts)]


class Passager:
    """Splits documents and counts the passages that an encoder will not read to their end.

    The strictest encoder of all spaces decides the length of a passage. A document of up to two
    such lengths stays whole if every space has a part that reads texts of any length, and the
    settings name no length. With ``settings.split=False`` every document is one passage. What an
    encoder cuts is counted.
    """

    def __init__(self, spaces: Spaces, settings: BuildSettings) -> None:
        limited = {
            f"{space}.{part.name}": part.encoder
            for space, parts in spaces.items()
            for part in parts
            if part.encoder.spec.max_length is not None and isinstance(part.encoder, LimitedEncoder)
        }
        self._limits = {key: encoder.spec.max_length or 0 for key, encoder in limited.items()}
        self._encoders = limited
        self._split = settings.split
        self.truncated = dict.fromkeys(limited, 0)
        self._slack = 1.5
        self.max_tokens = settings.passage_tokens or DEFAULT_PASSAGE_WORDS
        self._count_tokens: Callable[[Sequence[str]], list[int]] = count_words
        if limited:
            strictest = min(limited, key=self._limits.__getitem__)
            encoder = limited[strictest]
            self._count_tokens = partial(_count_own_tokens, encoder)
            beside_words = all(
                any(part.encoder.spec.max_length is None for part in parts)
                for parts in spaces.values()
            )
            whole = beside_words and settings.passage_tokens is None
            self._slack = WHOLE_BESIDE_WORDS if whole else 1.0
            limit = self._limits[strictest] - encoder.special_token_count
            self.max_tokens = min(settings.passage_tokens or limit, limit)

    def split(
        self, documents: Sequence[Document]
    ) -> tuple[list[list[PassageSpan]], list[Document]]:
        """Spans per document, and what the encoders see of each span."""
        spans = [self._spans(document) for document in documents]
        passages = [
            document if len(document_spans) == 1 else passage_document(document, span)
            for document, document_spans in zip(documents, spans, strict=True)
            for span in document_spans
        ]
        self._count_truncated(passages)
        return spans, passages

    def _spans(self, document: Document) -> list[PassageSpan]:
        whole = [PassageSpan(0, len(document.text), 0, 0)]
        if not self._split or len(document.text) <= self.max_tokens:
            return whole
        room = self.max_tokens
        if self._limits and document.title:
            # The title is read with every passage, but leaves the text half of the room at least.
            room = max(room - self._count_tokens([document.title])[0], room // 2)
        spans = split_passages(
            document.text, max_tokens=room, count_tokens=self._count_tokens, slack=self._slack
        )
        return spans or whole

    def _count_truncated(self, passages: Sequence[Document]) -> None:
        for key, encoder in self._encoders.items():
            limit = self._limits[key]
            # A token has at least one character: most texts need no counting.
            long = [text for p in passages if len(text := p.full_text()) > limit - 2]
            if long:
                self.truncated[key] += sum(n > limit for n in encoder.token_lengths(long))
