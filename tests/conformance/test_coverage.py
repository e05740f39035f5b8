"""The suite leaves out no encoder of ours without a reason."""

from __future__ import annotations

from encoders.registry import BUILT_IN_ENCODERS


def test_every_built_in_encoder_is_covered_or_exempt(
    covered: set[str], exempt: dict[str, str]
) -> None:
    assert covered | exempt.keys() == BUILT_IN_ENCODERS.keys()
    assert not covered & exempt.keys()
    assert all(exempt.values())
