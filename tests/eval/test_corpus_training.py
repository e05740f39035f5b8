"""``indexer adapt --train``: from an index's own titles to a model, kept only if better."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytest.importorskip("onnx", reason="needs the [encode] extra")
pytestmark = pytest.mark.torch

import eval.corpus_training  # noqa: E402
from encoders.base import Document  # noqa: E402
from encoders.checkpoint_files import is_exported  # noqa: E402
from encoders.exported import read_exported  # noqa: E402
from encoders.onnx_export import export_encoder  # noqa: E402
from encoders.pruning import Pruning  # noqa: E402
from encoders.splade import create  # noqa: E402
from encoders.splade_options import SpladeOptions  # noqa: E402
from encoders.training.errors import TrainingError  # noqa: E402
from encoders.training.loop import read_log  # noqa: E402
from encoders.training.selection import Candidate, select  # noqa: E402
from eval.commands.adapting import adapt  # noqa: E402
from eval.compare import Comparison  # noqa: E402
from eval.corpus_titles import split_of  # noqa: E402
from eval.corpus_training import train_on_corpus  # noqa: E402
from eval.errors import TuningError  # noqa: E402
from eval.kept_model import Verdict  # noqa: E402
from indexer.builder import build  # noqa: E402

WORDS = ["planet", "weather", "rain", "york", "query", "table", "sparse", "dense", "model", "index"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, write_masked_lm: Callable[..., Path]) -> Path:
    """The corpus, encoded by an export of a small random model."""
    folder = tmp_path_factory.mktemp("corpus")
    prune = Pruning.parse("max_ratio:0.05")
    options = SpladeOptions(max_length=24, prune=prune, query_table="content")
    export_encoder(write_masked_lm(folder / "checkpoint"), folder / "export", options=options)
    expression = f"2*english-bm25 + 0.6*english-bigrams-bm25 + splade:{folder / 'export'}"
    build(corpus(), folder / "x.winnow", expression)
    return folder / "x.winnow"


def corpus() -> list[Document]:
    """600 documents of different titles."""
    rng = np.random.default_rng(1)
    documents = []
    for number in range(600):
        words = rng.choice(WORDS, 6, replace=False).tolist()
        text = f"{words[1]} {words[2]} {number}. A {words[3]} of {words[4]} and a {words[5]}. Yes."
        documents.append(Document(f"d{number}", text, title=f"{words[0]} {words[1]} {number}"))
    return documents


@pytest.fixture
def trained_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The selection leaves the initial weights out."""

    def without_initial(*arguments: Any) -> list[Candidate]:
        return [candidate for candidate in select(*arguments) if candidate.share > 0]

    monkeypatch.setattr(eval.corpus_training, "select", without_initial)


def decided(difference: float, low: float) -> Verdict:
    row = Comparison("titles", "nDCG@10", 60, 0.5, 0.5, difference, low, 0.1, 1, 1, 1, 0.5, 0.5)
    return Verdict((row,), row)


def test_a_model_is_kept_only_if_it_is_better(
    trained_ones: None, index: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    found = train_on_corpus(index, tmp_path / "run", steps=4, progress=lines.append)
    assert found.documents == 600
    assert found.base == "english-bm25 + 0.3*english-bigrams-bm25"
    assert (found.vectors, found.rerank) == ("none", None)
    assert found.held_back is not None
    titles, sentences = found.held_back.kinds
    assert (titles.collection, sentences.collection) == ("titles", "sentences")
    assert 30 < titles.queries < 90  # about a tenth
    assert 30 < sentences.queries < 90
    assert found.held_back.together.queries == titles.queries + sentences.queries
    assert 400 < found.taught["titles"] < 540  # eight tenths
    assert (found.taught["headings"], found.taught["query log"]) == (0, 0)
    assert any("step 4" in line for line in lines)
    with pytest.raises(TrainingError, match="--resume"):
        train_on_corpus(index, tmp_path / "run", steps=4)
    if found.model is not None:
        assert found.held_back.is_better
        assert read_exported(found.model)[0].part_weight == found.part_weight
    else:
        assert not (tmp_path / "run" / "model").exists()


def test_where_the_initial_weights_are_chosen_nothing_is_asked(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        eval.corpus_training,
        "select",
        lambda *arguments: [c for c in select(*arguments) if c.share == 0],
    )
    result = CliRunner().invoke(
        adapt, [str(index), "--train", str(tmp_path / "run"), "--steps", "2", "--json"]
    )
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["held_back"], answer["model"]) == (None, None)
    assert "no trained weights were better" in result.stderr


@pytest.mark.parametrize(
    ("difference", "low", "kept"), [(0.004, -0.002, True), (0.01, -0.0021, False)]
)
def test_the_titles_that_were_held_back_decide(
    trained_ones: None,
    difference: float,
    low: float,
    kept: bool,
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verdict = decided(difference, low)
    asked = []

    def pretended(snapshot: Any, space: str, trained: Any, *rest: Any) -> Verdict:
        asked.append(trained["splade"])
        return verdict

    monkeypatch.setattr(eval.corpus_training, "compare_models", pretended)
    run = tmp_path / "run"
    result = CliRunner().invoke(adapt, [str(index), "--train", str(run), "--steps", "2", "--json"])
    assert result.exit_code == 0, result.output
    # What is asked is the export, with the settings of the index's own.
    [part] = asked
    spec = part.encoder.spec
    assert (spec.max_length, spec.parameters["prune"]) == (24, "max_ratio:0.05")
    assert (spec.parameters["precision"], spec.parameters["query_table"]) == ("int8", "content")
    answer = json.loads(result.stdout)
    assert part.expression.weight == pytest.approx(2 * answer["part_weight"])  # words have 2
    assert answer["held_back"]["titles"]["low"] == answer["held_back"]["together"]["low"] == low
    assert answer["model"] == (str(run / "model") if kept else None)
    assert is_exported(run / "model") == kept
    assert not list(run.glob(".candidate*"))
    if kept:
        assert create("splade", str(run / "model")).content_hash == part.encoder.content_hash
        # A model of the run before is replaced.
        again = train_on_corpus(index, run, steps=2, resume=True)
        assert again.model == run / "model"


def test_headings_and_a_query_log_teach(
    write_masked_lm: Callable[..., Path], tmp_path: Path
) -> None:
    documents = []
    for document in corpus():
        number = int(document.doc_id[1:])
        if number % 3 == 0:
            text = f"{document.title}\n{document.text}"
            document = dataclasses.replace(document, title="", text=text)
        documents.append(document)
    titles = [document.title for document in corpus()]
    checked = [title for title in titles if split_of(title) == "check"]
    log = tmp_path / "log.txt"
    # What decides is not learned by heart, in whatever case it was typed.
    log.write_text("\n".join(["rain york", "", "model", "rain york", checked[0].upper()]))
    index = tmp_path / "x.winnow"
    build(documents, index, f"english-bm25 + splade:{write_masked_lm(tmp_path / 'checkpoint')}")
    run = tmp_path / "run"
    arguments = [str(index), "--train", str(run), "--steps", "6", "--query-log", str(log)]
    result = CliRunner().invoke(adapt, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    taught = json.loads(result.stdout)["taught"]
    assert taught["query log"] == 2
    train = [number for number, title in enumerate(titles) if split_of(title) == "train"]
    assert taught["headings"] == sum(number % 3 == 0 for number in train)
    assert taught["titles"] == len(train) - taught["headings"]
    assert "2 of query log" in result.stderr
    # Documents that what decides asks for are not candidates of the log.
    texts = (run / "teaching" / "corpus.jsonl").read_text()
    assert not any(f'"{title}"' in texts for title in checked)


def test_texts_of_one_sentence_are_asked_for_by_titles_alone(
    write_masked_lm: Callable[..., Path], tmp_path: Path
) -> None:
    documents = [
        dataclasses.replace(document, text=document.text.partition(".")[0]) for document in corpus()
    ]
    index = tmp_path / "x.winnow"
    build(documents, index, f"english-bm25 + splade:{write_masked_lm(tmp_path / 'checkpoint')}")
    found = train_on_corpus(index, tmp_path / "run", steps=2)
    assert found.taught["sentences"] == 0
    assert found.taught["titles"] > 400
    if found.held_back is not None:
        assert [row.collection for row in found.held_back.kinds] == ["titles"]


def test_a_killed_run_goes_on(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(Exception):
        pass

    def killed(*arguments: Any) -> None:
        raise Killed

    def killed_half_way(export: Path, output: Path) -> None:
        output.mkdir()
        raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(eval.corpus_training, "restore_checkpoint", killed_half_way)
        with pytest.raises(Killed):
            train_on_corpus(index, run, steps=2)
        patch.undo()
        patch.setattr("encoders.training.loop._Run._step", killed)
        with pytest.raises(Killed):
            train_on_corpus(index, run, steps=2)
    with pytest.raises(TrainingError, match="--resume"):
        train_on_corpus(index, run, steps=2)
    train_on_corpus(index, run, steps=2, resume=True)
    assert [line["step"] for line in read_log(run) if "dev" in line] == [0, 1, 2]


def test_activation_and_aggregation_of_the_index_are_kept(
    trained_ones: None,
    write_masked_lm: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = write_masked_lm(tmp_path / "checkpoint")
    expression = f"english-bm25 + splade:{checkpoint}?activation=log1p_relu&aggregation=sum"
    build(corpus(), tmp_path / "x.winnow", expression)
    monkeypatch.setattr(eval.corpus_training, "compare_models", lambda *_: decided(0.1, 0.1))
    found = train_on_corpus(tmp_path / "x.winnow", tmp_path / "run", steps=2)
    assert found.model is not None
    config = read_exported(found.model)[0]
    assert (config.activation, config.aggregation) == ("log1p_relu", "sum")


def test_the_command_builds_what_was_asked(
    trained_ones: None,
    write_masked_lm: Callable[..., Path],
    vectors_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = write_masked_lm(tmp_path / "checkpoint")
    index = tmp_path / "x.winnow"
    build(corpus(), index, f"2*english-bm25 + splade:{checkpoint}", vectors=str(vectors_directory))
    monkeypatch.setattr(eval.corpus_training, "compare_models", lambda *_: decided(0.1, 0.1))
    result = CliRunner().invoke(
        adapt, [str(index), "--train", str(tmp_path / "run"), "--steps", "2"]
    )
    assert result.exit_code == 0, result.output
    assert "(+0.1000, 95% interval +0.1000 to +0.1000)" in result.stdout
    assert f"--vectors {vectors_directory}" in result.stderr
    # The vectors' own weight of 3 stands beside words of weight 2, which the command gives 1.
    assert "indexer configure INDEX --rerank 1.5" in result.stderr


def test_a_space_without_a_learned_part_is_refused(tmp_path: Path) -> None:
    build([Document("a", "text", title="title")], tmp_path / "x.winnow", "english-bm25")
    with pytest.raises(TuningError, match="only one SPLADE-type part"):
        train_on_corpus(tmp_path / "x.winnow", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_few_titles_are_refused(write_masked_lm: Callable[..., Path], tmp_path: Path) -> None:
    checkpoint = write_masked_lm(tmp_path / "checkpoint")
    documents = [Document("a", "sparse model", title="dense")]
    build(documents, tmp_path / "x.winnow", f"english-bm25 + splade:{checkpoint}")
    with pytest.raises(TuningError, match="1 titles and 0 headings"):
        train_on_corpus(tmp_path / "x.winnow", tmp_path / "run")
    assert not (tmp_path / "run").exists()
