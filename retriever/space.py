"""One space of an open index: looks query tokens up and scores segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.errors import EncoderError
from encoders.query.analyzer import Analyzer, create_analyzer
from encoders.query.idf import idf
from encoders.query.stopwords import without_content
from encoders.query.table import from_corpus
from encoders.query.tokenizer import WordPieceTokenizer, shared_tokenizer
from indexer.format.arrays import read_array
from indexer.format.manifest import PartEntry, SpaceEntry
from indexer.format.segment import Segment
from kernels.cpu.lookup import score_rows
from kernels.cpu.search import EXACT, Approximation, SearchWork, search_postings
from retriever.errors import QueryError, UnknownPartError
from retriever.query import IntegerQuery, QueryTerm, SparseVector, finite_number

CACHED_TERMS = 1 << 16

_NO_TERMS: dict[str | int, QueryTerm | None] = {}


class SpacePartView:
    """The query side of one part over all segments of a snapshot."""

    def __init__(
        self, index: Path, space: str, entry: PartEntry, segments: Sequence[Segment], rows: int
    ) -> None:
        self.entry = entry
        self._segments = [segment.spaces[space].parts[entry.name] for segment in segments]
        self._row_count = rows
        self._cache: dict[float, dict[str | int, QueryTerm | None]] = {}
        self._cached_terms = 0
        self._texts: dict[int, str] = {}
        tokenizer_json = None
        if entry.query.tokenizer_file:
            tokenizer_json = (index / entry.query.tokenizer_file).read_bytes()
        self.analyzer: Analyzer = create_analyzer(entry.query.analyzer, tokenizer_json)
        self.tokenizer: WordPieceTokenizer | None = None
        if entry.encoder.vocabulary != "open" and tokenizer_json is not None:
            self.tokenizer = shared_tokenizer(tokenizer_json)
        self._table: NDArray[np.float32] | None = None
        if entry.query.table == "published" and entry.query.table_file:
            self._table = read_array(index / entry.query.table_file, np.float32)
        elif self.tokenizer is not None:
            doc_freq = np.zeros(int(entry.encoder.vocabulary), dtype=np.int64)
            for part in self._segments:
                doc_freq += part.doc_freq
            unweighted = set(self.tokenizer.special_ids)
            if entry.query.table == "content-idf":
                unweighted |= without_content(self.tokenizer)
            self._table = from_corpus(rows, np.minimum(doc_freq, rows), special_ids=unweighted)

    def terms(self, query: str | SparseVector, part_weight: float) -> list[QueryTerm]:
        """Looks the tokens of a query up; tokens that no document knows are left out."""
        if isinstance(query, SparseVector):
            return self._vector_terms(query, part_weight)
        tokens: Sequence[str | int]
        if self.tokenizer is not None:
            tokens = self.tokenizer.ids(query)
        else:
            tokens = self.analyzer.tokens(query)
        found = self._looked_up(list(dict.fromkeys(tokens)), part_weight)
        if self.entry.encoder.aggregation == "sum" and len(found) < len(tokens):
            counts: Counter[str | int] = Counter(tokens)  # in the same order
            for position, (token, count) in enumerate(counts.items()):
                if count > 1:
                    found[position] = self._looked_up([token], part_weight * count)[0]
        return [term for term in found if term is not None]

    def _looked_up(self, tokens: Sequence[str | int], factor: float) -> list[QueryTerm | None]:
        """Terms of tokens, from the cache: most of a query's tokens are in others, too."""
        known = self._cache.get(factor, _NO_TERMS)
        try:
            return [known[token] for token in tokens]
        except KeyError:
            return [
                known[token] if token in known else self._remember(token, factor)
                for token in tokens
            ]

    def _remember(self, key: str | int, factor: float) -> QueryTerm | None:
        dimensions = self._dimensions(key)
        weight = self._weight(key, dimensions)
        term = self._term(key, weight * factor, dimensions) if weight > 0 else None
        if self._cached_terms >= CACHED_TERMS:
            self._cache = {}
            self._cached_terms = 0
        self._cache.setdefault(factor, {})[key] = term
        self._cached_terms += 1
        return term

    def _vector_terms(self, query: SparseVector, part_weight: float) -> list[QueryTerm]:
        weights: dict[str | int, float] = {}
        for token, weight in query.weights.items():
            key: str | int | None = token
            if self.tokenizer is not None:
                key = self.tokenizer.id(token)
            if key is not None:
                weights[key] = float(weight)
        if query.indices is not None:
            if self.entry.encoder.vocabulary == "open":
                raise QueryError(
                    f"part {self.entry.name!r} has an open vocabulary: give a query vector as "
                    "tokens with weights, not as dimension numbers."
                )
            for number, weight in query.indices.items():
                weights[number] = float(weight)
        result = []
        for key, weight in weights.items():
            dimensions = self._dimensions(key)
            if weight > 0 and max(dimensions, default=-1) >= 0:
                result.append(self._term(key, weight * part_weight, dimensions))
        return result

    def _term(self, key: str | int, weight: float, dimensions: tuple[int, ...]) -> QueryTerm:
        text = key if isinstance(key, str) else self._texts.get(key)
        if text is None:
            text = self._texts[int(key)] = self.token(int(key))
        return QueryTerm(self.entry.name, text, weight, self.entry.scale, dimensions)

    def token(self, dimension: int) -> str:
        """Text of a fixed vocabulary's dimension."""
        if self.tokenizer is None or dimension >= self.tokenizer.vocab_size:
            return str(dimension)
        try:
            return self.tokenizer.token(dimension)
        except EncoderError:  # a gap in the vocabulary
            return str(dimension)

    def _dimensions(self, key: str | int) -> tuple[int, ...]:
        """A token's dimension in each segment's space, -1 where it has none."""
        if isinstance(key, str):
            local = [part.terms.find(key) if part.terms else -1 for part in self._segments]
        else:
            local = [key if 0 <= key < part.size else -1 for part in self._segments]
        return tuple(
            number + part.offset if number >= 0 else -1
            for number, part in zip(local, self._segments, strict=True)
        )

    def _weight(self, key: str | int, dimensions: tuple[int, ...]) -> float:
        """Weight of a token in the query table."""
        if self._table is not None and isinstance(key, int):
            return float(self._table[key]) if 0 <= key < self._table.size else 0.0
        if all(number < 0 for number in dimensions):
            return 0.0
        doc_freq = sum(
            int(part.doc_freq[number - part.offset])
            for number, part in zip(dimensions, self._segments, strict=True)
            if number >= 0
        )
        if doc_freq == 0 and isinstance(key, str):
            return 0.0  # every document that had the term is deleted
        return float(idf(self._row_count, np.array([min(doc_freq, self._row_count)]))[0])


class SpaceView:
    """All parts of one space over all segments of a snapshot."""

    def __init__(
        self, index: Path, name: str, entry: SpaceEntry, segments: Sequence[Segment], rows: int
    ) -> None:
        self.name = name
        self.parts = {
            part.name: SpacePartView(index, name, part, segments, rows) for part in entry.parts
        }
        self.postings = [segment.spaces[name].postings for segment in segments]
        self._orders = [(segment.row_arrival, segment.row_of_arrival) for segment in segments]

    def terms(
        self, query: str | SparseVector, part_weights: Mapping[str, float] | None = None
    ) -> list[QueryTerm]:
        """Terms of all parts.

        Args:
            query: Text, or weights.
            part_weights: Weight per part in place of the index's own; 0 leaves a part out.

        Raises:
            UnknownPartError: A weight names no part of this space.
            QueryError: A weight is negative or not finite.
        """
        for name, weight in (part_weights or {}).items():
            if name not in self.parts:
                raise UnknownPartError(
                    f"space {self.name!r} has no part {name!r}; it has "
                    f"{', '.join(map(repr, self.parts))}."
                )
            number = finite_number(weight)
            if number is None or number < 0:
                raise QueryError(
                    f"the weight of part {name!r} must be finite and >= 0, got {weight!r:.80}."
                )
        if isinstance(query, SparseVector) and query.indices and len(self.parts) > 1:
            raise QueryError(
                f"space {self.name!r} has several parts, whose dimension numbers overlap: give "
                "the query vector as tokens with weights."
            )
        result = []
        for name, part in self.parts.items():
            weight = float((part_weights or {}).get(name, part.entry.weight))
            if weight > 0:
                result += part.terms(query, weight)
        return result

    def search_segment(
        self,
        number: int,
        query: IntegerQuery,
        k: int,
        alive: NDArray[np.uint8],
        threshold: int = 0,
        approximation: Approximation = EXACT,
        threads: int = 1,
        work: SearchWork | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The best ``k`` rows of a segment: scores and rows, best first, ties by arrival.

        Args:
            number: Position of the segment.
            query: Integer weights.
            k: At least 1.
            alive: uint8 per row, 0 excludes; empty excludes none.
            threshold: Only scores above it.
            approximation: What may be left out of this segment.
            threads: Threads that share the segment.
            work: Where to add what the search cost.
        """
        found = [term.dimensions[number] for term in query.terms]
        dimensions, weights = np.array(found, dtype=np.int64), query.weights
        if min(found, default=0) < 0:
            known = dimensions >= 0
            dimensions, weights = dimensions[known], weights[known]
        return search_postings(
            self.postings[number],
            dimensions,
            weights,
            k,
            alive,
            threshold,
            *self._orders[number],
            approximation=approximation,
            threads=threads,
            work=work,
        )

    def scores(
        self, number: int, query: IntegerQuery, rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """float64[n] scores of rows of a segment, to the precision of the weights.

        Args:
            number: Position of the segment.
            query: Its float weights count here.
            rows: int64[n].
        """
        dimensions = np.array([term.dimensions[number] for term in query.terms], dtype=np.int64)
        return score_rows(self.postings[number].layout, dimensions, np.array(query.products), rows)
