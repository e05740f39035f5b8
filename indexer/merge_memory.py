"""Memory that a merge takes, estimated before anything is written."""

from __future__ import annotations

import os
from collections.abc import Sequence

from indexer.errors import MergeMemoryError
from indexer.format.segment import Segment

BYTES_PER_POSTING = 15
"""At the peak, while rows are inverted: the rows (4 bytes of dimension, 1 of impact), the lists
made of them (4 + 1), and the postings that they become (at most 4 + 1)."""

BYTES_PER_PASSAGE = 64
"""Document number, span, order, and new positions, once per source and once joined."""


def merge_bytes(sources: Sequence[Segment], spaces: Sequence[str]) -> int:
    """Estimated peak memory of merging segments: that of the space with the most postings.

    Postings of deleted passages count, and a dense column counts as one posting per row. Sources
    that are compressed have all their postings decoded in memory. Not counted are documents'
    identifiers, term dictionaries, and what ordering takes, which the index's own setting bounds.

    Args:
        sources: The segments to merge.
        spaces: Names of the spaces.
    """
    passages = sum(source.entry.row_count for source in sources)
    most = decoded = 0
    for space in spaces:
        found = [source.spaces[space].postings for source in sources]
        postings = sum(lists.impacts.size + lists.columns.size for lists in found)
        decoded += sum(
            lists.local_ids.nbytes + lists.impacts.nbytes + lists.columns.nbytes
            for lists, source in zip(found, sources, strict=True)
            if source.entry.compressed
        )
        # One offset of 8 bytes per passage and part, a cursor of the same size beside it.
        offsets = 16 * passages * len(sources[0].spaces[space].parts)
        most = max(most, postings * BYTES_PER_POSTING + offsets)
    return most + decoded + passages * BYTES_PER_PASSAGE


def check_memory(sources: Sequence[Segment], spaces: Sequence[str], limit: int) -> None:
    """Refuses a merge that would not fit.

    Args:
        sources: The segments to merge.
        spaces: Names of the spaces.
        limit: Bytes that the merge may take.

    Raises:
        MergeMemoryError: It needs more.
    """
    needed = merge_bytes(sources, spaces)
    if needed > limit:
        raise MergeMemoryError(
            f"merging these {len(sources)} segments needs about {needed / 1e6:,.1f} MB of memory, "
            f"and may take {limit / 1e6:,.1f} MB. Leave more segments with --segments, or raise "
            "--memory."
        )


def physical_memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
