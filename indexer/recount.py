"""New statistics for a part whose weights depend on them, from the stored text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from encoders.base import CorpusStatistics, Document, StatisticalEncoder
from indexer.draft import PartDraft
from indexer.errors import IndexerError
from indexer.format.manifest import EncoderEntry, PartEntry, SpaceEntry
from indexer.format.segment import Segment
from indexer.settings import BATCH_DOCUMENTS
from indexer.spaces import SpacePart, reopen_spaces
from indexer.stored_passages import stored_passage

PINNED = "average_length"
"""The parameter by which a spec tells that weights depend on the collection."""


def recount(
    sources: Sequence[Segment], entries: Mapping[str, SpaceEntry], directory: Path
) -> dict[str, PartDraft]:
    """Fits the statistical parts to the live passages of segments, and weighs these again.

    Args:
        sources: Segments in order of arrival.
        entries: Spaces of the index.
        directory: The new segment; gets the rows and the term dictionaries.

    Returns:
        Per ``SPACE.PART`` the part with its encoder fitted, ready to be quantised.

    Raises:
        IndexerError: No part depends on statistics.
    """
    statistical = {}
    for space, entry in entries.items():
        if pinned := tuple(part for part in entry.parts if PINNED in part.encoder.parameters):
            statistical[space] = SpaceEntry(parts=pinned)
    if not statistical:
        raise IndexerError("no part of this index depends on statistics of the collection.")
    drafts = {}
    for space, parts in reopen_spaces(statistical).items():
        for part in parts:
            drafts[f"{space}.{part.name}"] = _recounted(sources, space, part, directory)
    return drafts


def refitted_entry(part: PartEntry, draft: PartDraft) -> PartEntry:
    """The part's entry with the newly fitted encoder; scale and query side stay."""
    encoder = EncoderEntry.from_spec(draft.part.encoder.spec, part.encoder.argument)
    return part.model_copy(update={"encoder": encoder})


def _recounted(
    sources: Sequence[Segment], space: str, part: SpacePart, directory: Path
) -> PartDraft:
    draft = PartDraft(directory, space, part)
    passages = _live_passages(sources)
    count = 0
    while batch := list(islice(passages, BATCH_DOCUMENTS)):
        draft.add(batch)
        count += len(batch)
    draft.finish()
    encoder = part.encoder
    if not isinstance(encoder, StatisticalEncoder):
        raise IndexerError(f"the encoder of part {part.name!r} cannot be fitted again.")
    encoder = encoder.fit(CorpusStatistics(count, draft.token_count))
    draft.rows.reweigh(encoder.weigh)
    draft.part = SpacePart(part.expression, encoder)
    return draft


def _live_passages(sources: Sequence[Segment]) -> Iterator[Document]:
    """Passages in order of arrival, as the encoders saw them."""
    for source in sources:
        rows = np.arange(source.entry.row_count)
        if source.row_of_arrival is not None:
            rows = source.row_of_arrival.astype(np.int64)
        if len(source.alive_rows):
            rows = rows[source.alive_rows[rows] != 0]
        for row in rows.tolist():
            yield stored_passage(source, row)
