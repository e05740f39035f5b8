"""The encoder of a collection for which none is asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from encoders.shipped import default_expression
from indexer.corpus.language import EnglishDetector
from indexer.corpus.records import CorpusRecord
from indexer.settings import BATCH_CHARACTERS

FALLBACK = "plain-bm25"


@dataclass(frozen=True)
class DefaultEncoder:
    """What suits a collection.

    Attributes:
        expression: English BM25 with the model that comes with Winnow beside it; plain BM25 where
            the text seems not to be English.
        static_vectors: Whether static vectors re-rank what it finds.
        records: The whole collection, to be read once.
        warnings: Why it is plain BM25, if it is.
    """

    expression: str
    static_vectors: bool
    records: Iterator[CorpusRecord]
    warnings: tuple[str, ...] = ()


def choose_encoder(records: Iterable[CorpusRecord]) -> DefaultEncoder:
    """Looks at the first documents of a collection and chooses its encoder.

    Raises:
        encoders.errors.CheckpointError: The model that comes with Winnow is damaged.
    """
    rest = iter(records)
    detector = EnglishDetector()
    seen: list[CorpusRecord] = []
    characters = 0
    for record in rest:
        seen.append(record)
        detector.add(record.document)
        characters += len(record.document.text)
        if detector.is_full or characters >= BATCH_CHARACTERS:
            break
    records = itertools.chain(seen, rest)
    finding = detector.finding()
    if finding is None:
        return DefaultEncoder(default_expression(), True, records)
    warning = (
        f"the text seems not to be English ({finding}): it was indexed with {FALLBACK}, without "
        "the model that comes with Winnow, which reads English. Choose otherwise with --encoder."
    )
    return DefaultEncoder(FALLBACK, False, records, (warning,))
