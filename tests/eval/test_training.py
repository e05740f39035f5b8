"""``indexer train``: from a TOML file to a model in use; negatives and dev figures of an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytestmark = pytest.mark.torch

from encoders.base import Document  # noqa: E402
from encoders.exported import read_exported  # noqa: E402
from encoders.splade import create  # noqa: E402
from encoders.training.configuration import TrainingConfig, read_config  # noqa: E402
from encoders.training.lexical import LexicalBase  # noqa: E402
from encoders.training.loop import load_student, read_log  # noqa: E402
from encoders.training.sources import read_source  # noqa: E402
from eval.commands.training import train  # noqa: E402
from eval.development import DevSets  # noqa: E402
from eval.mining import DEPTH, NegativeMiner  # noqa: E402
from indexer.builder import build  # noqa: E402
from retriever.searcher import open_index  # noqa: E402

WORDS = ["planet", "weather", "rain", "york", "query", "table", "sparse", "dense", "model", "index"]


@pytest.fixture
def config(tmp_path: Path, write_masked_lm: Callable[..., Path]) -> Path:
    """Settings of a run of a few steps over 60 documents whose titles are queries."""
    rng = np.random.default_rng(1)
    data = tmp_path / "data"
    data.mkdir()
    lines = []
    for number in range(60):
        words = rng.choice(WORDS, 6, replace=False).tolist()
        record = {"_id": f"d{number}", "title": " ".join(words[:2]), "text": " ".join(words[1:])}
        lines.append(json.dumps(record) + "\n")
    (data / "corpus.jsonl").write_text("".join(lines))
    write_masked_lm(tmp_path / "initial")
    path = tmp_path / "config.toml"
    path.write_text(f"""
initial = "{tmp_path}/initial"
output = "{tmp_path}/run"
max_length = 16
log_every = 1
evaluate_every = 2
interpolations = [0.5, 1.0]
dev_part_weights = [0.5, 1.0]
guards = {{ fewest_dims = 0 }}
schedule = {{ steps = 4, queries = 8, negatives = 2, learning_rate = 1e-3 }}
sparsity = {{ random_dimensions = 20 }}

[teachers]
sparse = "{tmp_path}/initial"
groups = [{{ lexical = 1.0, sparse = 0.5 }}]
cache = "{tmp_path}/cache"

[[sources]]
name = "even"
kind = "titles"
path = "{data}"
stride = 2

[[dev]]
name = "odd"
kind = "titles"
path = "{data}"
stride = 2
offset = 1
""")
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(train, [str(argument) for argument in arguments])


def test_from_text_to_a_model_in_use(config: Path, tmp_path: Path) -> None:
    for command in ("sparse", "select", "save"):
        result = run(command, config)
        assert result.exit_code == 0, result.output
    output = tmp_path / "run"
    steps = [line["step"] for line in read_log(output) if "dev" in line]
    assert steps == [0, 2, 4]
    [best, *others] = json.loads((output / "selection.json").read_text())
    assert all(best["developments"][0]["mean"] >= c["developments"][0]["mean"] for c in others)
    recorded = read_exported(output / "onnx")[0].part_weight
    assert recorded == best["developments"][0]["part_weight"]
    documents = [Document("a", "weather model rain"), Document("b", "sparse index table")]
    pruned = "?prune=max_ratio:0.15"
    router, exported, plain = (
        create("splade", str(output / name)).encode_documents(documents)
        for name in ("router", "onnx", f"selected{pruned}")
    )
    for rows in (router, exported):
        assert rows.dimensions.tolist() == plain.dimensions.tolist()
        np.testing.assert_allclose(rows.weights, plain.weights, rtol=1e-3, atol=1e-4)


def test_the_model_is_saved_with_the_settings_of_the_documentation(
    config: Path, tmp_path: Path
) -> None:
    def saved(*options: str) -> tuple[tuple[int, str, str], tuple[int, str], bool]:
        result = run("save", config, *options)
        assert result.exit_code == 0, result.output
        exported = read_exported(tmp_path / "run" / "onnx")[0]
        router = create("splade", str(tmp_path / "run" / "router"))
        table, tokenizer = router.query_side().table, router.tokenizers.query
        return (
            (exported.max_length, exported.prune, exported.query_table),
            (router.spec.max_length, str(router.pruning)),
            table[tokenizer.id("the")] > 0 and table[tokenizer.id("rain")] > 0,
        )

    positions = json.loads((tmp_path / "initial" / "config.json").read_text())
    limit = positions["max_position_embeddings"]
    assert limit < 256  # what would be read otherwise
    for command in ("sparse", "select"):
        assert run(command, config, "--output", tmp_path / "run").exit_code == 0
    default = (limit, "max_ratio:0.15")
    assert saved() == ((*default, "content"), default, False)
    options = ("--max-length", "16", "--prune", "none", "--query-table", "corpus")
    assert saved(*options) == ((16, "none", "corpus"), (16, "none"), True)
    with config.open("a") as file:
        file.write('[export]\nmax_length = 20\nprune = "top_k:9"\nquery_table = "corpus"\n')
    assert saved()[0] == (20, "top_k:9", "corpus")


def test_a_pruning_that_cannot_be_read_is_named(config: Path) -> None:
    with config.open("a") as file:
        file.write('[export]\nprune = "half"\n')
    assert "export.prune" in str(run("save", config).exception)


def test_a_dev_set_needs_judgements(config: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "queries.jsonl").write_text('{"_id": "q", "text": "rain"}\n')
    config.write_text(config.read_text().replace('kind = "titles"', 'kind = "unlabelled"'))
    assert "'odd' (unlabelled) names no relevant" in str(run("select", config).exception)


def test_saving_needs_a_selection(config: Path, tmp_path: Path) -> None:
    assert run("sparse", config, "--steps", 1).exit_code == 0
    message = str(run("save", config).exception)
    assert "names no weight of the part" in message
    assert "indexer train select" in message


def test_a_run_is_not_overwritten(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("sparse", config, "--steps", 1).exit_code == 0
    # It is known before anything is read.
    monkeypatch.setattr("encoders.training.loop.load_student", None)
    assert "holds a run" in str(run("sparse", config, "--steps", 1).exception)


def test_negatives_are_ranked_by_the_index_and_kept(config: Path) -> None:
    settings = read_config(config)
    [source] = settings.sources
    examples = read_source(source)
    told: list[str] = []
    found = NegativeMiner(settings, told.append)(source, examples)
    base = LexicalBase(examples.documents)
    scores = (base.queries(examples.queries) @ base.documents.T).toarray()
    for number, row in enumerate(found):
        kept = row[row >= 0]
        assert len(kept)
        assert number not in kept
        assert (scores[number, kept] > 0).all()
        assert (np.diff(scores[number, kept]) < 0.02).all()  # impacts have eight bits
    assert found.shape == (30, 2 * DEPTH)
    again = NegativeMiner(settings, told.append)(source, examples)
    np.testing.assert_array_equal(found, again)
    assert len(told) == 1


def test_dev_figures_are_those_of_an_index(config: Path, tmp_path: Path) -> None:
    settings: TrainingConfig = read_config(config)
    student = load_student(settings)
    [development] = [
        d for d in DevSets(settings, student).at_weights(student) if d.part_weight == 0.5
    ]
    [source] = settings.dev
    examples = read_source(source)
    documents = [Document(str(n), text) for n, text in enumerate(examples.documents)]
    expression = f"english-bm25 + 0.5*splade:{tmp_path}/initial"
    build(documents, tmp_path / "dev.winnow", expression)
    with open_index(tmp_path / "dev.winnow") as searcher:
        gains = []
        for number, query in enumerate(examples.queries):
            ranks = [h.rank for h in searcher.search(query, 10).hits if h.doc_id == str(number)]
            gains.append(1 / np.log2(ranks[0] + 1) if ranks else 0.0)
    assert development.figures["odd"] == pytest.approx(np.mean(gains), abs=0.03)


def test_a_missing_extra_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.commands.training.find_spec", lambda name: None)
    assert "winnow-search[encode]" in str(run("sparse", config).exception)
