"""From a ranking to what a user sees: scores, ids, passages, explanations and snippets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retriever.explain import explain as explain_passage
from retriever.highlight import highlight as highlight_passage
from retriever.query import IntegerQuery
from retriever.ranked import Ranking
from retriever.reranking import QueryVector
from retriever.results import Hit, Snippet
from retriever.snapshot import Snapshot
from retriever.space import SpaceView


def shown_scores(view: SpaceView, query: IntegerQuery, ranked: Ranking) -> NDArray[np.float64]:
    """Scores to show: the same sums as the integer ones, without the rounding of the weights."""
    if len(view.postings) == 1:
        return view.scores(0, query, ranked.rows)
    scores = np.zeros(len(ranked))
    for number in np.unique(ranked.segments).tolist():
        here = ranked.segments == number
        scores[here] = view.scores(number, query, ranked.rows[here])
    return scores


def doc_ids_of(snapshot: Snapshot, ranked: Ranking) -> list[str]:
    """Identifiers, in the order of the ranking."""
    if len(snapshot.segments) == 1:
        return snapshot.segments[0].doc_ids.take(ranked.doc_nums)
    doc_ids = [""] * len(ranked)
    for number in np.unique(ranked.segments).tolist():
        here = np.flatnonzero(ranked.segments == number)
        found = snapshot.segments[number].doc_ids.take(ranked.doc_nums[here])
        for place, doc_id in zip(here.tolist(), found, strict=True):
            doc_ids[place] = doc_id
    return doc_ids


def plain_hits(
    snapshot: Snapshot, ranked: Ranking, scores: NDArray[np.float64], offset: int
) -> list[Hit]:
    """Hits with passages, without explanations and snippets."""
    doc_ids = doc_ids_of(snapshot, ranked)
    ranks = range(offset + 1, offset + 1 + len(ranked))
    # Counted over what is live, so that a merge, which drops the rest, changes nothing.
    if snapshot.manifest.row_count == snapshot.manifest.document_count:
        return list(map(Hit, doc_ids, scores.tolist(), ranks))
    spans = [
        snapshot.passage(segment, row)
        for segment, row in zip(ranked.segments.tolist(), ranked.rows.tolist(), strict=True)
    ]
    return list(map(Hit, doc_ids, scores.tolist(), ranks, spans))


def described(
    snapshot: Snapshot,
    view: SpaceView,
    query: IntegerQuery,
    hit: Hit,
    segment: int,
    row: int,
    vector: QueryVector | None = None,
    *,
    explain: bool,
    highlight: bool,
) -> Hit:
    """The hit with its explanation, its snippets, or both.

    Args:
        snapshot: The index.
        view: The space that was searched.
        query: Its terms.
        hit: The hit so far.
        segment: Position of its segment.
        row: Its best passage.
        vector: What has ranked it again, if anything has.
        explain: Give the explanation.
        highlight: Give the snippets.
    """
    explanation = explain_passage(snapshot, view, query, segment, row, vector)
    snippets: tuple[Snippet, ...] | None = None
    if highlight:
        reader = snapshot.segments[segment]
        doc_num = reader.document_of(row)
        terms = {
            name: (part.analyzer, {c.term: c.contribution for c in explanation if c.part == name})
            for name, part in view.parts.items()
        }
        text = reader.documents.text(doc_num)
        text = text[slice(*hit.passage)] if hit.passage else text
        snippets = highlight_passage(reader.documents.title(doc_num), text, terms)
    return replace(hit, explanation=explanation if explain else None, snippets=snippets)
