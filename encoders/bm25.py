"""BM25 as impacts: the document's share of the score is the row, idf is the query's weight."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from encoders.base import CorpusStatistics, Document, EncoderSpec, QuerySide, SparseRows
from encoders.errors import EncoderError
from encoders.query.analyzer import ANALYZER_NAMES, create_analyzer
from encoders.query.tokenizer import default_tokenizer_json

DEFAULT_K1 = 0.9
DEFAULT_B = 0.4
MAX_K1 = 1000
"""Far past any k1 in use (0.5 to 3); there a score grows linearly with the term's frequency."""


@dataclasses.dataclass(frozen=True, slots=True)
class BM25Settings:
    """Settings of a BM25 part.

    Attributes:
        analyzer: Name of the analyzer.
        k1: How slowly repetitions of a term saturate, 0 to 1000; the default is Anserini's.
        b: How much length is normalised, 0 to 1; the default is Anserini's.
        average_length: Mean number of tokens of a row, pinned by ``fit``; ``None`` before.
    """

    analyzer: str = "english"
    k1: float = DEFAULT_K1
    b: float = DEFAULT_B
    average_length: float | None = None

    def __post_init__(self) -> None:
        if self.analyzer not in ANALYZER_NAMES:
            raise EncoderError(
                f"BM25 has no analyzer {self.analyzer!r}; choose one of: "
                f"{', '.join(ANALYZER_NAMES)}."
            )
        if not 0 <= self.k1 <= MAX_K1:
            raise EncoderError(f"BM25's k1 must lie between 0 and {MAX_K1}, got {self.k1}.")
        if not 0 <= self.b <= 1:
            raise EncoderError(f"BM25's b must lie between 0 and 1, got {self.b}.")
        if self.average_length is not None and not (
            math.isfinite(self.average_length) and self.average_length > 0
        ):
            raise EncoderError(
                f"BM25's average_length must be a finite number > 0, got {self.average_length}."
            )


class BM25Encoder:
    """Rows of BM25 weights over analyzed words.

    The weight of a term that occurs tf times in a text of dl tokens is
    ``tf * (k1 + 1) / (tf + k1 * (1 - b + b * dl / average_length))`` (Robertson and Zaragoza
    2009), so that times the idf of the query it is the classic BM25 score, and never above
    ``k1 + 1``.

    >>> encoder = BM25Encoder(BM25Settings()).fit(CorpusStatistics(row_count=2, token_count=4))
    >>> rows = encoder.encode_documents([Document("d1", "The cats saw a cat")])
    >>> [(term, round(float(w), 3)) for term, w in zip(rows.terms, rows.weights, strict=True)]
    [('cat', 1.234), ('saw', 0.913)]
    """

    def __init__(self, settings: BM25Settings, tokenizer_json: bytes | None = None) -> None:
        self.settings = settings
        self._tokenizer_json: bytes | None = None
        if settings.analyzer == "wordpiece":
            self._tokenizer_json = tokenizer_json or default_tokenizer_json()
        self._analyzer = create_analyzer(settings.analyzer, self._tokenizer_json)

    @property
    def spec(self) -> EncoderSpec:
        """Analyzer, k1, b and the pinned average length."""
        parameters: dict[str, str | int | float | bool | None] = dataclasses.asdict(self.settings)
        if self._tokenizer_json is not None:
            parameters["tokenizer_sha256"] = hashlib.sha256(self._tokenizer_json).hexdigest()
        return EncoderSpec(
            kind="bm25",
            name=f"{self.settings.analyzer}-bm25",
            vocabulary="open",
            aggregation="sum",
            max_length=None,
            max_weight=self.settings.k1 + 1,
            parameters=parameters,
        )

    def fit(self, statistics: CorpusStatistics) -> BM25Encoder:
        """A copy that normalises lengths by the collection's average, pinned in its spec."""
        fitted = BM25Encoder.__new__(BM25Encoder)
        fitted.settings = dataclasses.replace(
            self.settings, average_length=statistics.average_length
        )
        fitted._tokenizer_json = self._tokenizer_json
        fitted._analyzer = self._analyzer
        return fitted

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        """How often each term stands in title and text, one row per document."""
        return self._analyzer.count_batch([document.full_text() for document in documents])

    def weigh(self, counts: SparseRows) -> SparseRows:
        """Rows of BM25 weights from rows of counts.

        Raises:
            EncoderError: The average length is not known yet.
        """
        average_length = self.settings.average_length
        if average_length is None:
            raise EncoderError(
                "this BM25 encoder has no average document length yet; call "
                "encoder = encoder.fit(CorpusStatistics(row_count, token_count)) with the sums "
                "of count_tokens over the collection, or give average_length=..."
            )
        k1, b = self.settings.k1, self.settings.b
        frequencies = counts.weights.astype(np.float64)
        sums = np.concatenate(([0.0], np.cumsum(frequencies)))
        lengths = sums[counts.indptr[1:]] - sums[counts.indptr[:-1]]
        norms = k1 * (1 - b + b * lengths / average_length)
        weights = frequencies * (k1 + 1)
        weights /= frequencies + np.repeat(norms, np.diff(counts.indptr))
        return dataclasses.replace(counts, weights=weights.astype(np.float32))

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        """Rows of BM25 weights, one per document, in order; empty for an empty text.

        Raises:
            EncoderError: The encoder has not been fitted.
        """
        return self.weigh(self.count_tokens(documents))

    def query_side(self) -> QuerySide:
        """The same analyzer, with the idf of the indexed corpus as query weights."""
        return QuerySide(self.settings.analyzer, self._tokenizer_json)


def create(name: str, argument: str | None = None, **options: Any) -> BM25Encoder:
    """Makes a BM25 encoder for the registry.

    Args:
        name: ``bm25``, or an analyzer's name with ``-bm25`` behind it.
        argument: Settings such as ``k1=1.2,b=0.75``.
        **options: The same settings as values (``analyzer``, ``k1``, ``b``,
            ``average_length``), and ``tokenizer_json`` for the WordPiece analyzer. The
            ``parameters`` of a spec are accepted, so that ``create(spec.name,
            **spec.parameters)`` makes the encoder of an index again.

    Raises:
        EncoderError: A setting is unknown or out of range.

    >>> create("english-bm25", "k1=1.2,b=0.75").spec.parameters["b"]
    0.75
    """
    settings = {**_read_argument(name, argument), **options}
    tokenizer_json = settings.pop("tokenizer_json", None)
    tokenizer_hash = settings.pop("tokenizer_sha256", None)
    analyzer = name.removesuffix("bm25").removesuffix("-")
    if analyzer and settings.setdefault("analyzer", analyzer) != analyzer:
        raise EncoderError(
            f"encoder {name!r} has the analyzer {analyzer!r}; for {settings['analyzer']!r} write "
            f"'{settings['analyzer']}-bm25'."
        )
    known = [field.name for field in dataclasses.fields(BM25Settings)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise EncoderError(
            f"encoder {name!r} has no setting {unknown[0]!r}; it knows {', '.join(known)}."
        )
    for number in ("k1", "b", "average_length"):
        if settings.get(number) is not None:
            settings[number] = _number(name, number, settings[number])
    encoder = BM25Encoder(BM25Settings(**settings), tokenizer_json)
    if tokenizer_hash not in (None, encoder.spec.parameters.get("tokenizer_sha256")):
        raise EncoderError(
            f"encoder {name!r} was recorded with another tokenizer.json (sha256 "
            f"{tokenizer_hash}); give that file's content as tokenizer_json."
        )
    return encoder


def _read_argument(name: str, argument: str | None) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for item in (argument or "").split(","):
        if not item.strip():
            continue
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals or not value:
            raise EncoderError(
                f"encoder {name!r} cannot read the setting {item.strip()!r}; write "
                f"'{name}:k1=1.2,b=0.75'."
            )
        if key in settings:
            raise EncoderError(f"encoder {name!r} got the setting {key!r} twice; give it once.")
        settings[key] = value
    return settings


def _number(name: str, key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise EncoderError(f"encoder {name!r}: {key} must be a number, got {value!r}.") from None
