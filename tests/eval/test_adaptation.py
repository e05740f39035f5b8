"""Weights of parts chosen from an index's own titles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import eval.adaptation
from eval.adaptation import adapt_weights
from eval.commands.adapting import adapt
from eval.errors import TuningError
from eval.tune import Tuning, tune
from indexer.builder import build
from indexer.configuration import configure_rerank
from retriever.searcher import Searcher, open_index

TOPICS = ["harbour", "violin", "glacier", "orchard", "senate", "comet", "tundra", "ledger"]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """120 documents; titles are plural where texts are not, so only the stemming part matches."""
    lines = []
    for number in range(120):
        first, second = TOPICS[number % 8], TOPICS[(number // 8) % 8]
        text = f"{first} {second} entry{number} stands in volume {number % 7}"
        title = f"{first}s {second}s of entry{number}"
        lines.append(json.dumps({"_id": f"d{number}", "title": title, "text": text}))
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(lines) + "\n")
    output = tmp_path / "corpus.winnow"
    build(corpus, output, encoder="0.01*english-bm25 + 1*plain-bm25")
    return output


def weights(index: Path) -> dict[str, float]:
    with open_index(index) as searcher:
        [space] = searcher.description().spaces.values()
        return {part.name: part.weight for part in space.parts}


def test_better_weights_become_the_index_s_own(index: Path) -> None:
    before = weights(index)
    found = adapt_weights(index)
    assert (found.documents, found.titles, found.headings) == (120, 120, 0)
    assert found.applied == found.is_better
    assert weights(index) == (found.tuning.chosen if found.applied else before)
    assert found.tuning.held_back.mean_a >= found.tuning.held_back.mean_b or not found.applied


def test_the_sample_has_the_static_vectors_of_the_index(
    index: Path, vectors_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = index.with_name("corpus.jsonl")
    encoder = "0.01*english-bm25 + 1*plain-bm25"
    build(corpus, index, encoder, vectors=str(vectors_directory), overwrite=True)
    configure_rerank(index, 0.25)
    seen = []
    monkeypatch.setattr(
        eval.adaptation,
        "tune",
        lambda searcher, *rest, **options: (
            seen.append(searcher.description().rerank) or tune(searcher, *rest, **options)
        ),
    )
    adapt_weights(index)
    with open_index(index) as searcher:
        assert seen == [searcher.description().rerank]
        assert seen[0].weight == 0.25


@pytest.mark.parametrize(("low", "applied"), [(-0.01, False), (-0.001, True)])
def test_a_gain_that_may_well_be_a_loss_is_not_applied(
    index: Path, monkeypatch: pytest.MonkeyPatch, low: float, applied: bool
) -> None:
    def gained(*arguments: Any, **options: Any) -> Tuning:
        found = tune(*arguments, **options)
        held_back = replace(found.held_back, difference=0.004, low=low)
        return replace(found, chosen={**found.present, "plain-bm25": 0.5}, held_back=held_back)

    monkeypatch.setattr(eval.adaptation, "tune", gained)
    before = weights(index)
    assert adapt_weights(index).applied is applied
    assert weights(index) == (before | {"plain-bm25": 0.5} if applied else before)


def test_a_dry_run_changes_nothing(index: Path) -> None:
    before = weights(index)
    result = CliRunner().invoke(adapt, [str(index), "--dry-run", "--json", "--queries", "60"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["applied"] is False
    assert answer["queries"] == {"titles": 60, "headings": 0}
    assert "60 titles and 0 headings asked" in result.stderr
    assert weights(index) == before


def test_an_index_without_titles_is_refused(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "a", "text": "no title here"}\n')
    build(corpus, tmp_path / "x.winnow", encoder="english-bm25 + plain-bm25")
    with pytest.raises(TuningError, match="0 titles and 0 headings"):
        adapt_weights(tmp_path / "x.winnow")


def test_headings_ask_for_documents_without_titles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = []
    for number in range(120):
        topic = TOPICS[number % 8]
        heading = f"{topic}s of entry{number}"
        text = f"{topic} entry{number} stands in volume {number % 7}"
        record = {"_id": f"d{number}", "title": heading, "text": text}
        if number % 2:
            record = {"_id": f"d{number}", "text": f"{heading}\n{text}"}
        lines.append(json.dumps(record))
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(lines) + "\n")
    build(corpus, tmp_path / "x.winnow", encoder="english-bm25 + plain-bm25")
    texts = []

    def spy(searcher: Searcher, *rest: Any, **options: Any) -> Tuning:
        texts.extend(searcher.document(f"d{number}").text for number in range(120))
        return tune(searcher, *rest, **options)

    monkeypatch.setattr(eval.adaptation, "tune", spy)
    found = adapt_weights(tmp_path / "x.winnow")
    assert (found.titles, found.headings) == (60, 60)
    assert not any("\n" in text or "s of" in text for text in texts)


def test_a_query_log_chooses_no_weights(index: Path, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("harbour\n")
    result = CliRunner().invoke(adapt, [str(index), "--query-log", str(tmp_path / "log.txt")])
    assert result.exit_code == 2
    assert "--query-log needs --train DIR" in result.stderr


def test_documents_of_one_title_all_answer_it(tmp_path: Path) -> None:
    lines = []
    for number in range(180):
        topic, part = TOPICS[number // 3 % 8], number % 3
        title = f"{topic}s of entry{number // 3}"
        text = f"{topic} entry{number // 3} in part {part}"
        lines.append(json.dumps({"_id": f"d{number}", "title": title, "text": text}))
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(lines) + "\n")
    build(corpus, tmp_path / "x.winnow", encoder="english-bm25 + plain-bm25")
    found = adapt_weights(tmp_path / "x.winnow")
    assert (found.documents, found.titles) == (180, 60)
    assert found.tuning.held_back.mean_a == pytest.approx(1.0)
