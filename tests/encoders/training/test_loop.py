"""Runs: they repeat, resume to the same curve, stop when they collapse, and save what loads."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytestmark = pytest.mark.torch

from encoders.base import Document  # noqa: E402
from encoders.router_layout import save_router_layout  # noqa: E402
from encoders.splade import create  # noqa: E402
from encoders.training.batches import draw  # noqa: E402
from encoders.training.configuration import TrainingConfig, read_config  # noqa: E402
from encoders.training.errors import CollapseError, TrainingError  # noqa: E402
from encoders.training.lexical import QueryWeights, Scores  # noqa: E402
from encoders.training.loop import (  # noqa: E402
    Development,
    _Run,
    load_student,
    read_log,
    train,
)
from encoders.training.pool import PoolSource, prepare  # noqa: E402
from encoders.training.selection import SELECTED, interpolated, select  # noqa: E402
from encoders.training.state import State  # noqa: E402
from encoders.training.student import Student  # noqa: E402

CURVE = ("loss", "kl", "penalty", "dims", "part_weight", "temperature")


class Killed(Exception):
    """In place of a signal that ends the process."""


def neighbours(source: Any, examples: Any) -> np.ndarray:
    """The next five documents as negatives."""
    numbers = np.arange(len(examples.queries))[:, None] + np.arange(1, 6)
    return (numbers % len(examples.documents)).astype(np.int32)


def prepared(config: TrainingConfig) -> list[PoolSource]:
    return prepare(config, load_student(config), neighbours)


def curve(output: Path) -> list[tuple[float, ...]]:
    return [tuple(line[name] for name in CURVE) for line in read_log(output) if "loss" in line]


@pytest.mark.parametrize("regulariser", ["flops", "idf-flops", "df-flops"])
def test_training_lowers_the_loss(settings: dict[str, Any], regulariser: str) -> None:
    settings["schedule"] |= {"steps": 30}
    settings["sparsity"] |= {"regulariser": regulariser, "mask_rows_up_to": 5}
    settings["loss"] = {"kl": 1.0, "margin_mse": 0.001, "info_nce": 0.1}
    config = TrainingConfig(**settings)
    train(config, prepared(config))
    values = [line[1] for line in curve(config.output)]
    assert np.mean(values[-8:]) < 0.9 * np.mean(values[:8])
    assert sum(read_log(config.output)[0]["doc_freq_histogram"].values()) > 20


def test_a_stopped_run_resumes_to_the_same_curve(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["schedule"] |= {"accumulate": 2, "query_table_learning_rate": 1e-2}
    settings["sparsity"] |= {"regulariser": "df-flops", "target_dims": 3}
    whole = TrainingConfig(**settings)
    pool = prepared(whole)
    train(whole, pool)

    def kill(line: str) -> None:
        if line.startswith("step 3"):  # It was saved after step 2.
            raise Killed

    stopped = whole.model_copy(update={"output": tmp_path / "stopped"})
    with pytest.raises(Killed):
        train(stopped, pool, progress=kill)
    train(stopped, pool, resume=True)
    assert curve(stopped.output) == curve(whole.output)
    ours, theirs = (Student(config.output / "latest") for config in (stopped, whole))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("kind", "method", "step"),
    [
        (_Run, "_measure", 0),
        (_Run, "_step", 0),
        (_Run, "_step", 1),
        (_Run, "_measure", 4),
        (State, "save", 4),
        (State, "save", 6),
    ],
)
def test_a_run_can_be_killed_at_any_time(
    kind: type,
    method: str,
    step: int,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def evaluate(student: Student) -> Development:
        mean = float(student.weight.detach().abs().mean())
        return Development({"dev": mean}, mean, 0.5)

    def log(config: TrainingConfig) -> list[dict[str, Any]]:
        return [line | {"seconds": 0} for line in read_log(config.output)]

    # A line of the log has steps from both sides of a checkpoint.
    settings |= {"log_every": 3, "save_every": 4, "evaluate_every": 2}
    whole = TrainingConfig(**settings)
    stopped = whole.model_copy(update={"output": tmp_path / "stopped"})
    pool = prepared(whole)
    train(whole, pool, evaluate=evaluate)
    original = getattr(kind, method)

    def dying(self: Any, *arguments: Any) -> Any:
        if getattr(self, "_state", self).step == step:
            raise Killed
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kind, method, dying)
        with pytest.raises(Killed):
            train(stopped, pool, evaluate=evaluate)
    written = stopped.output / "log.jsonl"
    if written.exists():
        written.write_text(written.read_text()[:-9])  # The last line has no end.
    with pytest.raises(TrainingError, match="--resume"):
        train(stopped, pool, evaluate=evaluate)
    train(stopped, pool, evaluate=evaluate, resume=True)
    assert log(stopped) == log(whole)
    for name in ("latest", "best"):
        ours, theirs = (Student(config.output / name) for config in (stopped, whole))
        assert torch.equal(ours.weight, theirs.weight)


def test_a_run_that_never_began_is_begun(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings)
    train(config, prepared(config), resume=True)
    assert len(curve(config.output)) == 6


@pytest.mark.parametrize(
    "sparsity",
    [{"mask_rows_up_to": 1000}, {"regulariser": "idf-flops"}, {"regulariser": "df-flops"}],
)
def test_plain_flops_is_logged_whatever_is_penalised(
    settings: dict[str, Any], sparsity: dict[str, Any]
) -> None:
    settings["sparsity"] |= {"weight": 0, "random_dimensions": 10_000}
    config = TrainingConfig(**settings)
    pool = prepared(config)
    train(config, pool)
    settings["sparsity"] |= sparsity
    other = TrainingConfig(**settings | {"output": config.output.with_name("other")})
    train(other, pool)
    plain, scaled = (read_log(each.output) for each in (config, other))
    assert [line["flops"] for line in plain] == [line["penalty"] for line in plain]
    assert [line["flops"] for line in scaled] == [line["flops"] for line in plain]
    assert [line["penalty"] for line in scaled] != [line["penalty"] for line in plain]


def test_the_penalty_holds_a_number_of_dimensions(settings: dict[str, Any], tmp_path: Path) -> None:
    def factors(target: float) -> list[float]:
        sparsity = settings["sparsity"] | {"target_dims": target, "warm_up": 0.5}
        output = tmp_path / f"target-{target}"
        config = TrainingConfig(**settings | {"sparsity": sparsity, "output": output})
        train(config, prepared(config))
        return [line["penalty_factor"] for line in read_log(output) if "loss" in line]

    assert factors(0) == [1.0] * 6
    growing, falling = factors(1), factors(500)
    assert growing[:3] == falling[:3] == [1.0] * 3  # not before it is warm
    assert (np.diff(growing[2:]) > 0).all()
    assert (np.diff(falling[2:]) < 0).all()


def test_loaders_change_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    config = TrainingConfig(**settings)
    pool = prepared(config)
    train(config, pool)
    ahead = config.model_copy(update={"loaders": 2, "output": tmp_path / "ahead"})
    train(ahead, pool)
    assert curve(ahead.output) == curve(config.output)


def test_half_precision_trains_as_well(settings: dict[str, Any], tmp_path: Path) -> None:
    config = TrainingConfig(**settings)
    reduced = config.model_copy(update={"precision": "bfloat16", "output": tmp_path / "bf16"})
    train(config, prepared(config))
    state = train(reduced, prepared(reduced))
    assert all(parameter.dtype == torch.float32 for parameter in state.student.parameters())
    assert curve(reduced.output) != curve(config.output)
    np.testing.assert_allclose(curve(reduced.output), curve(config.output), rtol=0.1)


@pytest.mark.parametrize("beside_base", [True, False])
def test_the_base_can_be_left_out(settings: dict[str, Any], beside_base: bool) -> None:
    config = TrainingConfig(**settings, beside_base=beside_base)
    [source] = prepared(config)
    doubled = dataclasses.replace(source.base, documents=source.base.documents * 2)
    train(config, [source])
    first = curve(config.output)
    other = config.model_copy(update={"output": config.output.with_name("other")})
    train(other, [dataclasses.replace(source, base=doubled)])
    assert (curve(other.output) == first) == (not beside_base)


def test_word_embeddings_can_keep_still(settings: dict[str, Any]) -> None:
    settings["schedule"] |= {"embedding_rate_share": 0.0}
    config = TrainingConfig(**settings, seed=3)
    before = load_student(config)
    after = train(config, prepared(config)).student
    for moved, parameters in ((False, "tables"), (True, "layers")):
        ours, theirs = (
            dict(zip(("tables", "layers"), student.tables_and_layers(), strict=True))[parameters]
            for student in (before, after)
        )
        changes = [not torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)]
        assert changes
        assert any(changes) == moved


def test_a_batch_can_be_about_one_topic(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings)
    [source] = prepared(config)
    rng = np.random.default_rng(0)
    topics = rng.integers(0, 3, len(source.positives))
    vectors = np.eye(3, 8, dtype=np.float16)[topics]
    dense = Scores(vectors, rng.normal(size=(len(source.documents), 8)).astype(np.float16))
    source = dataclasses.replace(source, teachers={"dense": dense})
    schedule = config.schedule.model_copy(update={"neighbourhood": np.bincount(topics).min()})
    seen = set()
    for step in range(20):
        [batch] = draw([source], schedule, 0, step)
        [again] = draw([source], schedule, 0, step)
        assert batch.queries.tolist() == again.queries.tolist()
        assert len(set(batch.queries.tolist())) == schedule.queries
        [topic] = set(topics[batch.queries])
        seen.add(topic)
    assert seen == {0, 1, 2}


def test_another_configuration_does_not_resume(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings)
    pool = prepared(config)
    train(config, pool)
    with pytest.raises(TrainingError, match="holds a run"):
        train(config, pool)
    with pytest.raises(TrainingError, match="seed differ"):
        train(config.model_copy(update={"seed": 1}), pool, resume=True)
    (config.output / "state.pt").write_bytes(b"no archive")
    with pytest.raises(TrainingError, match="cannot be read"):
        train(config, pool, resume=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"guards": {"fewest_dims": 90, "patience": 2}}, "fewer than fewest_dims"),
        ({"guards": {"most_dims": 2, "patience": 2}}, "more than most_dims"),
    ],
)
def test_a_collapse_stops_the_run(
    settings: dict[str, Any], changed: dict[str, Any], message: str
) -> None:
    config = TrainingConfig(**(settings | changed))
    with pytest.raises(CollapseError, match=message):
        train(config, prepared(config))


def test_a_loss_that_is_not_finite_stops_the_run(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings)
    student = load_student(config)
    with torch.no_grad():
        student.weight[20:] *= float("inf")
    with pytest.raises(CollapseError, match="the loss is nan"):
        train(config, prepared(config), student=student)


def test_the_best_checkpoint_is_kept(settings: dict[str, Any]) -> None:
    means = iter([0.1, 0.3, 0.2, 0.25])

    def evaluate(student: Student) -> Development:
        mean = next(means)
        return Development({"dev": mean}, mean, 0.5)

    config = TrainingConfig(**settings, evaluate_every=2)
    state = train(config, prepared(config), evaluate=evaluate)
    assert state.best == (0.3, 2)
    best, latest = (Student(config.output / name) for name in ("best", "latest"))
    assert not torch.equal(best.weight, latest.weight)


def test_selection_interpolates_and_keeps_the_best(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings, interpolations=(0.5, 1.0))
    train(config, prepared(config))
    initial, half, trained = (
        interpolated(config, [config.output / "latest"], share).weight for share in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(half, (initial + trained) / 2)

    def measure(student: Student) -> list[Development]:
        mean = 1 - (student.weight - half).abs().max().item()
        return [Development({"dev": mean}, mean, 0.5)]

    assert select(config, measure)[0].share == 0.5
    torch.testing.assert_close(Student(config.output / SELECTED).weight, half)


def test_selection_tries_equal_checkpoints_once(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings, interpolations=(1.0,))
    train(config, prepared(config))

    def measure(student: Student) -> list[Development]:
        return [Development({"dev": 0.5}, 0.5, 0.5)]

    def tried() -> list[str]:
        return [candidate.checkpoint for candidate in select(config, measure)]

    shutil.copytree(config.output / "latest", config.output / "best", dirs_exist_ok=True)
    assert tried() == ["initial", "best"]
    student = Student(config.output / "latest")
    with torch.no_grad():
        student.bias += 1
    student.save(config.output / "best")
    assert tried() == ["initial", "best", "latest"]


def test_selection_averages_runs(settings: dict[str, Any], tmp_path: Path) -> None:
    config = TrainingConfig(**settings, interpolations=(1.0,))
    other = config.model_copy(update={"output": tmp_path / "other", "seed": 5})
    runs = [train(each, prepared(each)).student.weight for each in (config, other)]
    middle = (runs[0] + runs[1]).detach() / 2

    def measure(student: Student) -> list[Development]:
        mean = 1 - (student.weight - middle).abs().max().item()
        return [Development({"dev": mean}, mean, 0.5)]

    assert select(config, measure, others=[other.output])[0].checkpoint == "average"
    torch.testing.assert_close(Student(config.output / SELECTED).weight, middle)
    with pytest.raises(TrainingError, match="train that run first"):
        select(config, measure, others=[tmp_path])


def test_the_router_layout_has_the_vectors_that_were_trained(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings, activation="log1p_relu")
    student = train(config, prepared(config)).student
    texts = ["Weather in New York: rain.", "a sparse index model"]
    table = QueryWeights(student.tokenizer, texts).idf
    output = config.output / "router"
    save_router_layout(
        f"{config.output / 'latest'}?activation=log1p_relu", output, query_weights=table
    )
    encoder = create("splade", str(output))
    found = encoder.encode_documents([Document(str(n), text) for n, text in enumerate(texts)])
    columns = np.setdiff1d(np.arange(student.vocabulary), student.special_ids)
    expected = student.encode(student.tokens(texts, 64), columns)
    assert found.indptr.tolist() == expected.indptr.tolist()
    assert found.dimensions.tolist() == expected.indices.tolist()
    np.testing.assert_allclose(found.weights, expected.data, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(encoder.query_side().table, table)


def test_a_sampled_head_has_the_columns_of_the_whole_one(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings)
    student = load_student(config)
    documents = student.tokens(["rain in new york", "query", "a dense vector model " * 9], 16)
    columns = torch.tensor([5, 17, 40, 90])
    with torch.no_grad():
        whole = student.weights(documents, student.head(torch.arange(student.vocabulary)))
        part = student.weights(documents, student.head(columns))
    torch.testing.assert_close(part, whole[:, columns])


def test_a_sparse_teacher_scores_as_the_model_does(settings: dict[str, Any]) -> None:
    settings["teachers"] |= {"sparse": settings["initial"], "max_length": 16}
    settings["teachers"]["groups"] = [{"lexical": 1.0, "sparse": 0.5}]
    config = TrainingConfig(**settings)
    [source] = prepared(config)
    numbers = np.arange(10)
    scores = source.teachers["sparse"].of(numbers, numbers)
    columns = np.arange(load_student(config).vocabulary)
    rows = load_student(config).encode(source.documents[:10], columns)
    expected = (source.query_weights[:10] @ rows.T).toarray()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_unknown_settings_are_refused(tmp_path: Path, write_masked_lm: Callable[..., Path]) -> None:
    path = tmp_path / "config.toml"
    source = '[[sources]]\nname = "s"\nkind = "titles"\npath = "p"\n'
    path.write_text('initial = "i"\noutput = "o"\nstep = 3\n' + source)
    with pytest.raises(TrainingError, match=r"step: Extra inputs are not permitted \(got 3\)"):
        read_config(path)
    path.write_text("initial = ")
    with pytest.raises(TrainingError, match="cannot be read as TOML"):
        read_config(path)
    path.write_text('initial = "i"\noutput = "o"\n' + source)
    assert read_config(path, seed=4).seed == 4


def test_the_log_is_json_lines(settings: dict[str, Any]) -> None:
    config = TrainingConfig(**settings)
    train(config, prepared(config))
    lines = (config.output / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_given_scores_of_triples_teach(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "triples.jsonl"
    triples = [
        {"query": f"rain {a}", "docs": [f"{a} weather", f"{b} index"], "scores": [2.0, 0.5]}
        for a, b in zip("abcdefgh", "hgfedcba", strict=True)
    ]
    path.write_text("".join(json.dumps(triple) + "\n" for triple in triples))
    settings["sources"] = [{"name": "t", "kind": "triples", "path": path}]
    settings["teachers"] |= {"groups": [{"given": 1.0}]}
    config = TrainingConfig(**settings)
    pool = prepared(config)
    found = pool[0].teachers["given"].of(np.array([0]), np.array([0, 1, 2, 3]))
    assert found.tolist() == [[2.0, 0.5, 0.5, 0.5]]
    train(config, pool)
    assert len(curve(config.output)) == 6


def test_what_can_be_loaded_can_be_saved(tmp_path: Path, settings: dict[str, Any]) -> None:
    """transformers refuses this setting, which a network without a cache never asks for."""
    config = settings["initial"] / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_cache": None}))
    student = Student(settings["initial"])
    student.save(tmp_path / "saved")
    again = Student(tmp_path / "saved")
    texts = student.tokens(["rain in new york"], 16)
    columns = np.arange(student.vocabulary)
    assert (student.encode(texts, columns) != again.encode(texts, columns)).nnz == 0


def test_an_identity_head_decodes_hidden_states(tmp_path: Path, settings: dict[str, Any]) -> None:
    from safetensors.torch import load_file, save_file

    from encoders.training.identity_head import add_identity_head

    encoder = tmp_path / "encoder"
    encoder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (encoder / name).write_bytes((settings["initial"] / name).read_bytes())
    tensors = load_file(settings["initial"] / "model.safetensors")
    kept = {k.removeprefix("bert."): t for k, t in tensors.items() if k.startswith("bert.")}
    save_file(kept, encoder / "model.safetensors")
    texts = ["rain in new york", "a dense vector model", "weather what"]
    add_identity_head(encoder, tmp_path / "model", texts, active_dims=10)
    student = Student(tmp_path / "model")
    columns = torch.arange(student.vocabulary)
    [ids] = student.tokens(texts[:1], 16)
    with torch.no_grad():
        logits = student.logits([ids], student.head(columns)) - student.bias
        words = student.body.get_input_embeddings()(torch.from_numpy(ids.astype(np.int64))[None])
        states = student.body.states(words)
        expected = ((states - states.mean(-1, keepdim=True)) @ student.weight.T).amax(1)
    cosine = torch.nn.functional.cosine_similarity(logits, expected)
    assert cosine.item() > 0.99
    allowed = np.setdiff1d(columns.numpy(), student.special_ids)
    dims = np.diff(student.encode(student.tokens(texts, 16), allowed).indptr)
    assert 3 <= dims.mean() <= 25
