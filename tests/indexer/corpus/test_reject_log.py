from __future__ import annotations

import json
from pathlib import Path

import pytest

from indexer.corpus.reader import CorpusOptions, open_corpus
from indexer.corpus.records import Reject, RejectLog, RejectReason
from indexer.errors import CorpusError

REJECT = Reject("a.jsonl", 3, RejectReason.NO_ID, "the field 'id' is missing", None, "{}")


def test_file_appears_with_the_first_reject(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with RejectLog(path) as log:
        assert not path.exists()
        assert log.render() == ""
        log.add(REJECT)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "file": "a.jsonl",
            "line": 3,
            "doc_id": None,
            "reason": "no id: the field 'id' is missing",
            "excerpt": "{}",
        }
    ]


def test_the_file_of_an_earlier_run_goes(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with RejectLog(path) as log:
        log.add(REJECT)
    assert path.exists()
    with RejectLog(path):
        assert not path.exists()
    path.write_text('{"id": "a", "text": "somebody\'s corpus"}\n')
    with RejectLog(path):
        pass
    assert "corpus" in path.read_text()


def test_keeps_only_the_first_samples() -> None:
    log = RejectLog(keep=2)
    for line in range(5):
        log.add(Reject("a", line, RejectReason.WRONG_TYPE, "x"))
    assert [reject.line for reject in log.samples] == [0, 1]
    assert log.counts == {RejectReason.WRONG_TYPE: 5}
    assert "rejected 5 records" in log.render()


def test_strict_raises_with_place_and_reason(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"id": "1", "text": "x"}\n{"id": "2"\n')
    with RejectLog(tmp_path / "r", strict=True) as log:
        stream = iter(open_corpus(source, CorpusOptions(), log))
        assert next(stream).document.doc_id == "1"
        with pytest.raises(CorpusError, match=r"a\.jsonl:2: cannot be parsed: not JSON") as error:
            next(stream)
    assert "--strict" in str(error.value)
    assert not (tmp_path / "r").exists()


def test_unwritable_file_is_a_named_error(tmp_path: Path) -> None:
    with RejectLog(tmp_path / "absent" / "r") as log, pytest.raises(CorpusError, match="written"):
        log.add(REJECT)


def test_lone_surrogates_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with RejectLog(path) as log:
        log.add(Reject("caf\udce9", 1, RejectReason.ENCODING, "x", "\ud800", "\ud800"))
    assert json.loads(path.read_text())["doc_id"] == "\ud800"
    assert log.samples[0].place == "caf\\udce9:1"
    assert "\udce9" not in log.render()
