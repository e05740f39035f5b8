"""``indexer adapt --train``: from an index's own titles to a model, kept only if better."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytest.importorskip("onnx", reason="needs the [encode] extra")
pytestmark = pytest.mark.torch

import eval.corpus_training  # noqa: E402
from encoders.base import Document  # noqa: E402
from encoders.exported import is_exported, read_exported  # noqa: E402
from encoders.onnx_export import export_encoder  # noqa: E402
from encoders.pruning import Pruning  # noqa: E402
from encoders.splade_options import SpladeOptions  # noqa: E402
from encoders.training.errors import TrainingError  # noqa: E402
from eval.commands.adapting import adapt  # noqa: E402
from eval.corpus_titles import write_titles  # noqa: E402
from eval.corpus_training import train_on_corpus  # noqa: E402
from eval.errors import TuningError  # noqa: E402
from indexer.builder import build  # noqa: E402

WORDS = ["planet", "weather", "rain", "york", "query", "table", "sparse", "dense", "model", "index"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, write_masked_lm: Callable[..., Path]) -> Path:
    """600 documents of different titles, encoded by an export of a small random model."""
    folder = tmp_path_factory.mktemp("corpus")
    options = SpladeOptions(max_length=24, prune=Pruning.parse("max_ratio:0.05"))
    export_encoder(write_masked_lm(folder / "checkpoint"), folder / "export", options=options)
    rng = np.random.default_rng(1)
    documents = []
    for number in range(600):
        words = rng.choice(WORDS, 6, replace=False).tolist()
        text = f"{words[1]} {words[2]} {number}. A {words[3]} of {words[4]} and a {words[5]}. Yes."
        documents.append(Document(f"d{number}", text, title=f"{words[0]} {words[1]} {number}"))
    expression = f"2*english-bm25 + 0.6*english-bigrams-bm25 + splade:{folder / 'export'}"
    build(documents, folder / "x.winnow", expression)
    return folder / "x.winnow"


def test_a_model_is_kept_only_if_it_is_better(index: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    found = train_on_corpus(index, tmp_path / "run", steps=4, progress=lines.append)
    assert (found.documents, found.titles) == (600, 600)
    assert found.base == "english-bm25 + 0.3*english-bigrams-bm25"
    assert found.vectors == "none"
    assert 30 < found.held_back.queries < 90  # about a tenth
    assert any("step 4" in line for line in lines)
    with pytest.raises(TrainingError, match="--resume"):
        train_on_corpus(index, tmp_path / "run", steps=4)
    if found.model is not None:
        assert found.held_back.difference > 0
        assert read_exported(found.model)[0].part_weight == found.part_weight
    else:
        assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("difference", [0.01, -0.01])
def test_the_titles_that_were_held_back_decide(
    difference: float, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select, held_back = eval.corpus_training.select, eval.corpus_training._held_back

    def trained_ones(*arguments):
        return [candidate for candidate in select(*arguments) if candidate.share > 0]

    def pretended(*arguments):
        return dataclasses.replace(held_back(*arguments), difference=difference)

    monkeypatch.setattr(eval.corpus_training, "select", trained_ones)
    monkeypatch.setattr(eval.corpus_training, "_held_back", pretended)
    run = tmp_path / "run"
    result = CliRunner().invoke(adapt, [str(index), "--train", str(run), "--steps", "2", "--json"])
    assert result.exit_code == 0, result.output
    assert is_exported(run / "model") == (difference > 0)
    if difference > 0:
        config = read_exported(run / "model")[0]
        assert (config.max_length, config.prune) == (24, "max_ratio:0.05")  # the index's own
    answer = json.loads(result.stdout)
    assert answer["model"] == (str(run / "model") if difference > 0 else None)
    assert answer["held_back"]["difference"] == difference


def test_titles_of_one_text_stand_on_one_side(tmp_path: Path) -> None:
    documents = [
        Document(f"d{number}", f"text {number}", title=f"title {number // 2}")
        for number in range(400)
    ]
    write_titles(documents, tmp_path / "titles", tmp_path / "sentences")
    asked = {}
    for split in ("train", "dev", "check"):
        lines = (tmp_path / "titles" / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]
        asked[split] = {line.split("\t")[1] for line in lines}
    assert sum(map(len, asked.values())) == len(set.union(*asked.values())) == 400
    assert all(len(doc_ids) % 2 == 0 for doc_ids in asked.values())
    taught = (tmp_path / "sentences" / "corpus.jsonl").read_text().splitlines()
    assert {json.loads(line)["_id"] for line in taught} == asked["train"]
    text = (tmp_path / "titles" / "corpus.jsonl").read_text()
    assert "title" not in text


def test_a_space_without_a_learned_part_is_refused(tmp_path: Path) -> None:
    build([Document("a", "text", title="title")], tmp_path / "x.winnow", "english-bm25")
    with pytest.raises(TuningError, match="only one SPLADE-type part"):
        train_on_corpus(tmp_path / "x.winnow", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_few_titles_are_refused(write_masked_lm: Callable[..., Path], tmp_path: Path) -> None:
    checkpoint = write_masked_lm(tmp_path / "checkpoint")
    documents = [Document("a", "sparse model", title="dense")]
    build(documents, tmp_path / "x.winnow", f"english-bm25 + splade:{checkpoint}")
    with pytest.raises(TuningError, match="1 different titles"):
        train_on_corpus(tmp_path / "x.winnow", tmp_path / "run")
    assert not (tmp_path / "run").exists()
