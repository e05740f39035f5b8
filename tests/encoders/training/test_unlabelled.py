"""Queries of which nobody knows what they should find: the teachers alone say how it ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytestmark = pytest.mark.torch

from encoders.training.batches import draw  # noqa: E402
from encoders.training.candidates import CandidateSteps  # noqa: E402
from encoders.training.configuration import TrainingConfig  # noqa: E402
from encoders.training.errors import TrainingError  # noqa: E402
from encoders.training.loop import load_student, read_log, train  # noqa: E402
from encoders.training.objective import Objective  # noqa: E402
from encoders.training.pool import PoolSource, prepare  # noqa: E402
from encoders.training.sources import Source, read_source  # noqa: E402


@pytest.fixture
def asked(settings: dict[str, Any], collection: Path) -> dict[str, Any]:
    """Settings of a run that learns from queries without judgements only."""
    (collection / "qrels" / "train.tsv").unlink()
    settings["sources"] = [{"name": "log", "kind": "unlabelled", "path": collection}]
    settings["loss"] = {"kl": 1.0, "info_nce": 0.1}
    return settings


def found(source: Source, examples: Any) -> np.ndarray:
    """Three documents for each query but the first, for which there are none."""
    numbers = np.arange(len(examples.queries))[:, None] + np.arange(3)
    numbers = (numbers % len(examples.documents)).astype(np.int32)
    numbers[0] = -1
    return numbers


def prepared(config: TrainingConfig) -> list[PoolSource]:
    return prepare(config, load_student(config), found)


def test_a_folder_without_judgements_is_read(asked: dict[str, Any]) -> None:
    source = Source(**asked["sources"][0], documents=20, queries=9)
    examples = read_source(source)
    assert (len(examples.documents), len(examples.queries)) == (20, 9)
    assert not any(examples.positives)
    [left_out, *_] = examples.queries
    assert left_out not in read_source(source, frozenset({left_out})).queries


def test_the_first_that_was_mined_is_always_a_candidate(asked: dict[str, Any]) -> None:
    config = TrainingConfig(**asked)
    [source] = prepared(config)
    for step in range(5):
        [batch] = draw([source], config.schedule, 0, step)
        firsts = source.negatives[batch.queries, 0]
        assert batch.documents[batch.positive].tolist() == firsts.tolist()
        assert not batch.relevant.any()


def test_a_query_that_finds_nothing_is_left_out(asked: dict[str, Any]) -> None:
    [source] = prepared(TrainingConfig(**asked))
    assert len(source.positives) == len(source.negatives) == 47
    assert source.query_weights.shape[0] == source.base.queries.shape[0] == 47
    assert (source.negatives[:, 0] >= 0).all()


def test_they_have_no_share_in_the_cross_entropy(asked: dict[str, Any]) -> None:
    config = TrainingConfig(**asked)
    pool = prepared(config)
    state = train(config, pool)
    assert all("info_nce" not in line for line in read_log(config.output))
    student = state.student
    [[batch], *_] = CandidateSteps(config, pool, student.allowed_ids()).from_step(0)
    losses = Objective(config, student).losses(batch, state.scoring, state.frequencies, 0.0)
    assert losses.total.item() == pytest.approx(losses.parts["kl"])


def test_they_learn_beside_judged_queries(
    asked: dict[str, Any], collection: Path, tmp_path: Path
) -> None:
    judged = tmp_path / "judged"
    (judged / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (judged / name).write_bytes((collection / name).read_bytes())
    lines = [f"q{number}\td{number}\t1" for number in range(48)]
    (judged / "qrels" / "train.tsv").write_text("\n".join(["head", *lines]) + "\n")
    asked["sources"].append({"name": "judged", "kind": "judged", "path": judged})
    asked["schedule"] |= {"steps": 8}
    config = TrainingConfig(**asked)
    train(config, prepared(config))
    assert 0 < sum("info_nce" in line for line in read_log(config.output)) < 8


def test_labels_alone_cannot_teach_them(asked: dict[str, Any]) -> None:
    asked["loss"] = {"kl": 0.0, "info_nce": 1.0}
    with pytest.raises(TrainingError, match="'log' has no relevant documents"):
        prepared(TrainingConfig(**asked))
