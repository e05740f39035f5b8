"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real collections in BEIR layout, or a skip where there is none."""
    places = [os.environ.get("WINNOW_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    for place in places:
        if place and (Path(place) / "scifact").is_dir():
            return Path(place)
    pytest.skip("no real collections: set WINNOW_DATA to a folder with scifact/, cranfield/, ...")
