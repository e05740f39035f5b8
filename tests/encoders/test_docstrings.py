"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "encoders.base",
        "encoders.bm25",
        "encoders.expression",
        "encoders.gte",
        "encoders.registry",
        "encoders.stored_names",
        "encoders.query.analyzer",
        "encoders.query.idf",
        "encoders.query.porter",
        "encoders.query.tokenizer",
        "encoders.query.word_break",
    ],
)
def test_examples_run(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
