"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", ["lexical", "sources", "vocabulary"])
def test_examples_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"encoders.training.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
