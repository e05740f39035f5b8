"""Weights are tuned on an index of two BM25 parts, in which the best weights are known.

Half of the queries rank the relevant document first only if the part of whole words weighs
enough, the other half only if it does not weigh too much.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from encoders.base import Document
from eval.cli import main
from eval.datasets.beir import Dataset, open_dataset
from eval.errors import SystemFailedError, TuningError
from eval.tune import VECTORS, divide, open_tuning_dataset, tune
from indexer.builder import build
from indexer.configuration import configure_part, configure_rerank
from retriever.errors import UnknownSpaceError
from retriever.searcher import open_index

STEMMED, WHOLE = "english-bm25", "plain-bm25"
STEMS = [f"{a}{b}rk{c}" for a, b, c in product("bdfgl", "ao", "nmt")][:30]


def texts() -> Iterator[tuple[str, str, str, bool]]:
    """Per query its word, the document with that very word, one with other forms of it often,
    and whether the former is the relevant one."""
    filler = "lamp table window door chair"
    for number, stem in enumerate(STEMS):
        relevant_is_exact = number % 2 == 0
        often = 2 if relevant_is_exact else 9
        forms = " ".join([f"{stem}ing", f"{stem}ed"] * often)
        yield f"{stem}s", f"{stem}s {filler}", f"{forms} {filler}", relevant_is_exact


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "forms"
    (folder / "qrels").mkdir(parents=True)
    corpus, queries, qrels = [], [], []
    for number, (query, exact, forms, relevant_is_exact) in enumerate(texts()):
        corpus += [{"_id": f"e{number}", "text": exact}, {"_id": f"f{number}", "text": forms}]
        queries.append({"_id": f"q{number}", "text": query})
        qrels.append(f"q{number}\t{'e' if relevant_is_exact else 'f'}{number}\t1\n")
    for name, records in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "qrels" / "dev.tsv").write_text("".join(qrels))
    (folder / "qrels" / "test.tsv").write_text(qrels[0])
    return folder


def built(collection: Path, path: Path, weight: float = 4) -> Path:
    build(collection, path, encoder=f"{STEMMED} + {weight}*{WHOLE}")
    return path


@pytest.fixture(scope="module")
def index(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(collection, tmp_path_factory.mktemp("index") / "forms.winnow")


@pytest.fixture(scope="module")
def best_range(index: Path) -> tuple[float, float]:
    """Between which weights of the whole words every query has its relevant document first.

    A score is linear in the weight, so each query's threshold follows from the parts' scores.
    """
    lowest, highest = 0.0, float("inf")
    with open_index(index) as searcher:
        for query, _, _, relevant_is_exact in texts():
            scores = {}
            for part in (STEMMED, WHOLE):
                weights = {STEMMED: 0.0, WHOLE: 0.0} | {part: 1.0}
                hits = searcher.search(query, 10, part_weights=weights).hits
                scores[part] = {hit.doc_id[0]: hit.score for hit in hits}
            assert set(scores[STEMMED]) == {"e", "f"}
            assert set(scores[WHOLE]) == {"e"}
            threshold = (scores[STEMMED]["f"] - scores[STEMMED]["e"]) / scores[WHOLE]["e"]
            if relevant_is_exact:
                lowest = max(lowest, threshold)
            else:
                highest = min(highest, threshold)
    assert 0 < lowest * 1.2 < highest < 1
    return lowest, highest


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["eval", "tune", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return run_main


def weights_of(index: Path) -> dict[str, float]:
    with open_index(index) as searcher:
        return {part.name: part.weight for part in searcher.description().spaces["default"].parts}


def generation_of(index: Path) -> int:
    with open_index(index) as searcher:
        return searcher.generation


def test_the_known_weights_are_found(
    index: Path, collection: Path, best_range: tuple[float, float]
) -> None:
    with open_index(index) as searcher:
        tuning = tune(searcher, open_tuning_dataset(collection))
    assert tuning.split == "dev"
    assert tuning.present == {STEMMED: 1, WHOLE: 4}
    assert tuning.chosen[STEMMED] == 1
    low, high = best_range
    assert low < tuning.chosen[WHOLE] < high
    assert tuning.choosing.queries + tuning.held_back.queries == len(STEMS)
    for row in (tuning.choosing, tuning.held_back):
        assert row.mean_a == 1
        assert row.mean_b < 0.9
        assert 0 < row.low <= row.difference <= row.high
    assert tuning.is_safe
    for trial in tuning.trials:
        assert (trial.value == 1) == (low < trial.weights[WHOLE] / trial.weights[STEMMED] < high)


def test_command_prints_tables_and_leaves_the_index_as_it_is(
    index: Path, collection: Path, call: Callable
) -> None:
    code, out, err = call(index, "--data", collection)
    assert code == 0
    assert "Space default, dev judgements of forms: nDCG@10" in out
    assert "| english-bm25 | 1 | 1 |" in out
    assert "| plain-bm25 | 4 | " in out
    assert "| held back | " in out
    assert "1*english-bm25 + 0.25*plain-bm25" in err
    assert generation_of(index) == 1


def test_apply_makes_them_the_defaults(
    collection: Path, tmp_path: Path, call: Callable, best_range: tuple[float, float]
) -> None:
    index = built(collection, tmp_path / "forms.winnow")
    code, out, err = call(index, "--data", collection, "--apply", "--json", "-q")
    assert code == 0
    answer = json.loads(out)
    assert answer["applied"] is True
    assert weights_of(index) == answer["chosen"]
    assert "the weights are now 1*english-bm25 + " in err
    low, high = best_range
    assert low < weights_of(index)[WHOLE] < high
    with open_index(index) as searcher:  # and a plain search uses them
        for number, (query, _, _, relevant_is_exact) in enumerate(texts()):
            first = searcher.search(query, 1).hits[0].doc_id
            assert first == f"{'e' if relevant_is_exact else 'f'}{number}"

    code, out, err = call(index, "--data", collection, "--apply", "-q")
    assert code == 0
    assert "unchanged, no weights were better" in err
    assert generation_of(index) == 2


def test_the_weight_of_static_vectors_is_found(
    collection: Path, tmp_path: Path, call: Callable, vectors_directory: Path
) -> None:
    """Random vectors, heavy beside parts whose weights are right: the lighter, the better."""
    index, vectors = tmp_path / "forms.winnow", str(vectors_directory)
    build(collection, index, encoder=f"{STEMMED} + 0.5*{WHOLE}", vectors=vectors)
    configure_rerank(index, 50)
    code, out, err = call(index, "--data", collection, "--apply", "--json", "-q")
    assert code == 0
    answer = json.loads(out)
    assert answer["present"] == {STEMMED: 1, WHOLE: 0.5, VECTORS: 50}
    assert answer["held_back"]["mean_b"] < 0.9
    assert answer["held_back"]["mean_a"] == 1
    assert answer["chosen"][VECTORS] < 5
    parts = [STEMMED, WHOLE, VECTORS]
    assert all(list(trial["weights"]) == parts for trial in answer["trials"])
    assert f"{answer['chosen'][VECTORS]:g}*static vectors" in err
    with open_index(index) as searcher:
        description = searcher.description()
    assert description.rerank is not None
    assert description.rerank.weight == answer["chosen"][VECTORS]
    assert weights_of(index) == {part: answer["chosen"][part] for part in (STEMMED, WHOLE)}


def test_vectors_of_several_spaces_keep_their_weight(
    collection: Path, tmp_path: Path, call: Callable, vectors_directory: Path
) -> None:
    index = tmp_path / "two.winnow"
    spaces = {"one": STEMMED, "two": f"{STEMMED} + 4*{WHOLE}"}
    build(collection, index, encoder=spaces, vectors=str(vectors_directory))
    configure_rerank(index, 0.001)
    code, out, _ = call(index, "--data", collection, "--space", "two", "--apply", "--json", "-q")
    assert code == 0
    answer = json.loads(out)
    assert answer["applied"]
    assert set(answer["chosen"]) == {STEMMED, WHOLE}
    assert any("one weight for all spaces" in note for note in answer["notes"])
    with open_index(index) as searcher:
        rerank = searcher.description().rerank
    assert rerank is not None
    assert rerank.weight == 0.001


def test_one_part_and_static_vectors_can_be_tuned(
    collection: Path, tmp_path: Path, vectors_directory: Path
) -> None:
    build(collection, tmp_path / "one.winnow", encoder=WHOLE, vectors=str(vectors_directory))
    with open_index(tmp_path / "one.winnow") as searcher:
        tuning = tune(searcher, open_tuning_dataset(collection))
        with pytest.raises(TuningError, match="one part only"):
            tune(searcher, open_tuning_dataset(collection), with_vectors=False)
    assert tuning.present == tuning.chosen == {WHOLE: 1, VECTORS: 3}


def test_a_worse_held_back_half_is_not_applied(
    collection: Path, tmp_path: Path, call: Callable
) -> None:
    """The half to choose on wants much of the whole words, the other half wants little."""
    qrels = open_dataset(collection, "dev").qrels
    choosing, _ = divide(qrels)
    folder = tmp_path / "torn"
    (folder / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (folder / name).write_bytes((collection / name).read_bytes())
    lines = [f"{q}\t{'e' if q in choosing else 'f'}{q[1:]}\t1\n" for q in qrels]
    (folder / "qrels" / "train.tsv").write_text("".join(lines))
    index = built(folder, tmp_path / "torn.winnow", weight=0.01)

    code, out, err = call(index, "--data", folder, "--apply", "-q", "--json")
    assert code == 1
    assert json.loads(out)["applied"] is False
    assert json.loads(out)["held_back"]["difference"] < 0
    assert "unchanged, because nDCG@10 of the held-back half would fall by 0." in err
    assert weights_of(index)[WHOLE] == 0.01

    code, out, _ = call(index, "--data", folder, "--apply", "--force", "-q", "--json")
    assert code == 0
    assert weights_of(index) == json.loads(out)["chosen"]
    assert weights_of(index)[WHOLE] > 0.3


def test_three_parts(collection: Path, tmp_path: Path, call: Callable) -> None:
    """The space's own name, and a measure without a cutoff."""
    path = tmp_path / "three.winnow"
    expression = f"{STEMMED} + {WHOLE} + 4*english-all-words-bm25"
    build(collection, path, encoder={"default": "plain-bm25", "rich": expression})
    code, out, _ = call(
        *(path, "--data", collection, "--space", "rich", "--measure", "RR", "-q", "--json"),
        *("--threads", "2", "--apply"),
    )
    assert code == 0
    answer = json.loads(out)
    assert answer["space"] == "rich"
    assert answer["measure"] == "RR"
    assert answer["held_back"]["mean_a"] == 1
    with open_index(path) as searcher:
        parts = searcher.description().spaces["rich"].parts
        assert {part.name: part.weight for part in parts} == answer["chosen"]


def test_halves_are_stable_and_depend_on_the_seed() -> None:
    ids = [f"query-{number}" for number in range(400)]
    qrels = {query_id: {"d": 1} for query_id in ids}
    choosing, held_back = divide(qrels)
    assert choosing.keys() | held_back.keys() == set(ids)
    assert abs(len(choosing) - 200) < 50
    random.Random(1).shuffle(ids)
    assert divide({query_id: {"d": 1} for query_id in ids[:100]})[0].keys() <= choosing.keys()
    assert divide(qrels, seed=1)[0].keys() != choosing.keys()
    with pytest.raises(TuningError, match="1 judged queries are too few"):
        divide({"q": {"d": 1}})


def test_split_for_tuning(collection: Path, tmp_path: Path) -> None:
    assert open_tuning_dataset(collection).split == "dev"
    assert open_tuning_dataset(collection, "test").split == "test"


def test_judgements_of_the_test_split_are_named(index: Path, collection: Path) -> None:
    found = open_dataset(collection, "dev")
    dataset = Dataset(found.name, found.path, "test", found.queries, found.qrels, ("q99",))
    with open_index(index) as searcher:
        notes = tune(searcher, dataset).notes
    assert any("judgements of the test split" in note for note in notes)
    assert any("1 judged queries have no text" in note for note in notes)


def test_what_cannot_be_tuned_is_said(
    index: Path, collection: Path, tmp_path: Path, call: Callable
) -> None:
    dataset = open_tuning_dataset(collection)
    build([Document("e0", "one part")], tmp_path / "single.winnow", "english-bm25")
    with (
        open_index(tmp_path / "single.winnow") as searcher,
        pytest.raises(TuningError, match="one part only, 'english-bm25'"),
    ):
        tune(searcher, dataset)
    build([Document("x", "other")], tmp_path / "o.winnow", encoder=f"{STEMMED} + {WHOLE}")
    with open_index(tmp_path / "o.winnow") as searcher:
        with pytest.raises(SystemFailedError, match="holds none of 30 relevant documents"):
            tune(searcher, dataset)
        with pytest.raises(UnknownSpaceError, match="no space 'rich'; it has 'default'"):
            tune(searcher, dataset, space="rich")
    for arguments, expected, message in (
        ([index, "--data", collection, "--force"], 2, "--force belongs to --apply"),
        ([index, "--data", collection, "--measure", "x"], 1, "'x' is not a measure"),
        ([index, "--data", collection, "--split", "train"], 1, "choose one of: dev, test"),
        ([index, "--data", collection, "--split", "test"], 1, "1 judged queries are too few"),
        ([tmp_path / "none", "--data", collection], 2, "does not exist"),
        ([collection, "--data", collection], 1, "error: "),
    ):
        code, out, err = call(*arguments, "-q")
        assert code == expected, err
        assert message in out + err


def test_the_command_works_in_a_process_of_its_own(index: Path, collection: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "eval", "tune", str(index), "--data", str(collection), "--json"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["applied"] is False


def test_present_weights_of_an_index_count(collection: Path, tmp_path: Path) -> None:
    index = built(collection, tmp_path / "forms.winnow")
    configure_part(index, None, STEMMED, weight=2.5)
    with open_index(index) as searcher:
        tuning = tune(searcher, open_tuning_dataset(collection))
    assert tuning.present == {STEMMED: 2.5, WHOLE: 4}
    assert tuning.chosen[STEMMED] == 2.5
