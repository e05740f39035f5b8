"""Why a document scored as it did: exact, because a score is a sum."""

from __future__ import annotations

from indexer.stored_passages import stored_passage
from retriever.query import IntegerQuery
from retriever.results import TermContribution
from retriever.snapshot import Snapshot
from retriever.space import SpaceView


def explain(
    snapshot: Snapshot, space: SpaceView, query: IntegerQuery, segment: int, row: int
) -> tuple[TermContribution, ...]:
    """Contributions of the query's terms to one passage's score, largest first."""
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
    return tuple(sorted(result, key=lambda c: (-c.contribution, c.part, c.term)))
