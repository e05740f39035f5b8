"""The document weight of one impact step: chosen at a space's first commit, then kept.

Segments of a space share the scale, so that merging copies impacts and scores compare across
segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from indexer.draft import SegmentDraft, Spaces
from indexer.format.manifest import Manifest

HEADROOM = 1.25
"""How far above the largest weight of the first commit later weights may go unsaturated.

An encoder with a known bound gets none: its weights crowd below the bound, so that later ones
exceed the largest by little, and every step counts for the resolution of 8 bits.
"""


def choose_scales(
    spaces: Spaces, drafts: Sequence[SegmentDraft], previous: Manifest | None
) -> Mapping[str, float]:
    """Scale per ``SPACE.PART``.

    Args:
        spaces: Encoders per space.
        drafts: The segments in the making, their rows weighed.
        previous: The generation that is being added to, ``None`` at a first commit.
    """
    if previous is not None:
        return {
            f"{space}.{part.name}": part.scale
            for space, entry in previous.spaces.items()
            for part in entry.parts
        }
    scales = {}
    for space, parts in spaces.items():
        for part in parts:
            key = f"{space}.{part.name}"
            largest = max((draft.parts[key].rows.max_weight for draft in drafts), default=0.0)
            if part.encoder.spec.max_weight is None:
                largest *= HEADROOM
            scales[key] = largest / 255 if largest > 0 else 1.0
    return scales
