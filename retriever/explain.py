"""Why a document scored as it did: exact, because a score is a sum."""

from __future__ import annotations

from indexer.stored_passages import stored_passage
from retriever.query import IntegerQuery
from retriever.reranking import RERANK, QueryVector, Reranker
from retriever.results import TermContribution
from retriever.snapshot import Snapshot
from retriever.space import SpaceView


def explain(
    snapshot: Snapshot,
    space: SpaceView,
    query: IntegerQuery,
    segment: int,
    row: int,
    vector: QueryVector | None = None,
) -> tuple[TermContribution, ...]:
    """Contributions of the query's terms to one passage's score, largest first.

    Args:
        snapshot: The index.
        space: The space that was searched.
        query: Its terms.
        segment: Position of the segment.
        row: The passage.
        vector: The query for static vectors, whose tokens' shares are told too.
    """
    postings = space.postings[segment]
    text = stored_passage(snapshot.segments[segment], row).full_text()
    words = {
        name: {
            term: text[start:end] for term, start, end in reversed(part.analyzer.token_spans(text))
        }
        for name, part in space.parts.items()
    }
    result = []
    for term in query.terms:
        if term.dimensions[segment] < 0:
            continue
        impact = postings.impact(term.dimensions[segment], row)
        if impact:
            document_weight = impact * term.scale
            result.append(
                TermContribution(
                    term=term.term,
                    part=term.part,
                    query_weight=term.weight,
                    document_weight=document_weight,
                    contribution=term.weight * document_weight,
                    word=words[term.part].get(term.term),
                )
            )
    if vector is not None and snapshot.reranker is not None:
        result += _shares(snapshot.reranker, vector, segment, row, text)
    return tuple(sorted(result, key=lambda c: (-c.contribution, c.part, c.term)))


def _shares(
    reranker: Reranker, vector: QueryVector, segment: int, row: int, text: str
) -> list[TermContribution]:
    """What each of a query's tokens adds to the cosine, or takes from it."""
    tokenizer = reranker.tokenizer
    words = {token: text[start:end] for token, start, end in reversed(tokenizer.spans(text))}
    return [
        TermContribution(
            term=tokenizer.token(token),
            part=RERANK,
            query_weight=query_weight,
            document_weight=document_weight,
            contribution=query_weight * document_weight,
            word=words.get(token),
        )
        for token, query_weight, document_weight in reranker.shares(vector, segment, row)
    ]
