"""The stemmer where Porter's program departs from PyStemmer's."""

from __future__ import annotations

import pytest

from encoders.query.porter import PorterStemmer


# Stems: org.apache.lucene.analysis.en.PorterStemFilter, Lucene 9.9.1.
@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("us", "us"),
        ("s", "s"),
        ("technology", "technolog"),
        ("technologies", "technolog"),
        ("apologised", "apologis"),
        ("biology", "biologi"),
        ("logy", "logi"),
        ("possibly", "possibl"),
        ("assembly", "assembl"),
        ("assembling", "assembl"),
        ("reversibly", "revers"),
        ("visibly", "visibl"),
        ("bly", "bly"),
        ("ably", "abli"),
        ("nobly", "nobli"),
        ("happily", "happili"),
        ("relational", "relat"),
        ("", ""),
    ],
)
def test_stems_are_those_of_lucene(word: str, stem: str) -> None:
    assert PorterStemmer().stem(word) == stem
