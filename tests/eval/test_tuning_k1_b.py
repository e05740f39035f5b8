"""k1 and b are tuned on a collection where they decide which document comes first.

Of each query's two documents one repeats a word and the other has both words, or one is long and
the other short. An implementation of BM25 in a few lines says what each setting ranks first.
"""

from __future__ import annotations

import doctest
import importlib
import json
import math
import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner

from encoders.base import Document
from eval.bm25_search import search_k1_b
from eval.bm25_tuning import bm25_table, build_command, tune_bm25
from eval.commands.tuning import tune as command
from eval.datasets.beir import Dataset, open_dataset
from eval.errors import TuningError
from eval.reweighing import K1B, ReweighedSpace
from eval.tune import VECTORS, TuningProtocol, divide, evaluate_queries
from indexer.builder import add_documents, build, delete_documents
from indexer.format.manifest import read_manifest
from indexer.merge import merge_segments
from indexer.settings import BuildSettings
from retriever.searcher import open_index
from retriever.snapshot import open_snapshot

PART = "plain-bm25"
NAMES = [f"{a}{b}rk{c}" for a, b, c in product("bdfgl", "ao", "nmt")]


def texts() -> Iterator[tuple[str, str, str]]:
    """Per query its words, the relevant document and the other one."""
    for number, name in enumerate(NAMES):
        x, y, z = f"{name}x", f"{name}y", f"{name}z"
        filler = " ".join(f"lamp{number}n{i}" for i in range(60))
        if number % 3 == 0:  # Wants repetitions to count, ...
            yield f"{x} {y}", _filled([x] * 6, filler, 20), _filled([x, y], filler, 20)
        elif number % 3 == 1:  # but not as often as they stand there, ...
            yield f"{x} {y}", _filled([x, y] * 3, filler, 20), _filled([x] * 14, filler, 20)
        else:  # and wants length to count.
            yield z, _filled([z], filler, 10), _filled([z, z], filler, 50)


def _filled(words: list[str], filler: str, length: int) -> str:
    return " ".join([*words, *filler.split()[: length - len(words)]])


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "repetitions"
    (folder / "qrels").mkdir(parents=True)
    corpus, queries, qrels = [], [], []
    for number, (query, relevant, other) in enumerate(texts()):
        corpus += [{"_id": f"o{number}", "text": other}, {"_id": f"r{number}", "text": relevant}]
        queries.append({"_id": f"q{number}", "text": query})
        qrels.append(f"q{number}\tr{number}\t1\n")
    for name, records in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "qrels" / "dev.tsv").write_text("".join(qrels))
    return folder


@pytest.fixture(scope="module")
def index(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "repetitions.winnow"
    build(collection, path, f"{PART}:k1=0.6,b=0.2")
    return path


def expected(settings: K1B, queries: set[str]) -> float:
    """Mean nDCG@10 over the queries; each has two documents with a word of it."""
    documents = [text.split() for _, *pair in texts() for text in pair]
    average = sum(map(len, documents)) / len(documents)
    frequencies = Counter(word for words in documents for word in set(words))

    def score(query: str, text: str) -> float:
        words = text.split()
        norm = settings.k1 * (1 - settings.b + settings.b * len(words) / average)
        total = 0.0
        for word in query.split():
            df, tf = frequencies[word], words.count(word)
            idf = math.log1p((len(documents) - df + 0.5) / (df + 0.5))
            total += idf * tf * (settings.k1 + 1) / (tf + norm)
        return total

    values = []
    for number, (query, relevant, other) in enumerate(texts()):
        if f"q{number}" in queries:
            difference = score(query, relevant) - score(query, other)
            assert abs(difference) > 0.02, "too near to a tie to be compared after rounding"
            values.append(1 if difference > 0 else 1 / math.log2(3))
    return sum(values) / len(values)


def test_every_trial_is_what_bm25_says_and_the_best_is_found(
    index: Path, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = []
    monkeypatch.setattr(
        "eval.bm25_tuning.evaluate_queries",
        lambda *arguments: halves.append(set(arguments[2])) or evaluate_queries(*arguments),
    )
    with open_index(index) as searcher:
        tuning = tune_bm25(searcher, open_dataset(collection, "dev"))
    assert len(tuning.trials) > 15
    for trial in tuning.trials:
        assert trial.value == pytest.approx(expected(trial.settings[PART], halves[0])), trial
    assert tuning.present == {PART: K1B(0.6, 0.2)}
    assert tuning.is_changed
    assert tuning.is_safe
    for row, half in ((tuning.choosing, halves[0]), (tuning.held_back, halves[-1])):
        assert row.queries == len(half)
        assert row.mean_a == 1
        assert row.mean_b == pytest.approx(expected(K1B(0.6, 0.2), half))
        assert 0 < row.low <= row.difference <= row.high
    assert not halves[0] & halves[-1]
    # The index itself is as it was.
    assert read_manifest(index).generation == 1


def test_the_command_that_is_printed_builds_what_was_measured(
    index: Path, collection: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(collection, "dev")
    with open_index(index) as searcher:
        tuning = tune_bm25(searcher, dataset)
    words = shlex.split(tuning.build)
    assert words[:5] == ["indexer", "build", "CORPUS", "-o", "NEW.winnow"]
    build(collection, tmp_path / "new.winnow", words[words.index("--encoder") + 1])
    parameters = read_manifest(tmp_path / "new.winnow").spaces["default"].parts[0].encoder
    assert K1B(parameters.parameters["k1"], parameters.parameters["b"]) == tuning.chosen[PART]
    with open_index(tmp_path / "new.winnow") as searcher:
        means = evaluate_queries(
            searcher, dataset, dataset.qrels, "default", {PART: 1}, TuningProtocol()
        ).means
    assert means["nDCG@10"] == 1


FRUIT = ("apple", "pear", "plum", "cherry", "quince", "medlar", "fig")


def orchard(count: int) -> list[Document]:
    """Texts of several lengths, the longest of which become passages."""
    documents = []
    for number in range(count):
        words = [FRUIT[number * k % 7] + "s" * (number % k == 0) for k in range(1, 4 + number % 9)]
        long = 8 if number % 10 == 0 else 1
        text = " ".join([*words, f"in orchard {number}."] * long)
        documents.append(Document(f"d{number}", text, title=FRUIT[number % 5]))
    return documents


def rankings(path: Path) -> list[tuple[list[str], list[float]]]:
    queries = [f"{a} {b} orchards {n}" for n, (a, b) in enumerate(product(FRUIT, FRUIT))]
    with open_index(path) as searcher:
        found = [searcher.rank(query, 20) for query in queries]
    assert all(len(ids) > 5 for ids, _ in found)
    return [(ids, scores.tolist()) for ids, scores in found]


class TestTheCopyRanksAsAnIndexThatIsBuilt:
    """With the settings that are asked for, and the documents that there are."""

    def test_with_a_learned_part_and_static_vectors(
        self, tmp_path: Path, vectors_directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def built(name: str, settings: str) -> Path:
            encoder = f"english-bm25{settings} + 0.5*splade + 0.3*english-bigrams-bm25"
            path, vectors = tmp_path / name, str(vectors_directory)
            several = BuildSettings(segment_rows=20)
            build(orchard(60), path, encoder, settings=several, vectors=vectors)
            return path

        monkeypatch.setattr("indexer.generation.BATCH_DOCUMENTS", 20)
        index, other = built("index", ""), built("other", ":k1=2.2,b=0.8")
        assert len(read_manifest(index).segments) > 1
        # Nothing is encoded again.
        monkeypatch.setattr("encoders.onnx.create", lambda *_, **__: pytest.fail("encodes"))
        folder = tmp_path / "copy"
        folder.mkdir()
        copy = ReweighedSpace(open_snapshot(index), "default", folder)
        present = K1B(0.9, 0.4)
        copy.weigh({"english-bm25": present, "english-bigrams-bm25": present})
        before = rankings(copy.path)
        assert before == rankings(index)
        copy.weigh({"english-bm25": K1B(2.2, 0.8), "english-bigrams-bm25": present})
        assert rankings(copy.path) == rankings(other) != before
        manifest = read_manifest(index)
        assert "0.5*splade + 0.3*english-bigrams-bm25" in build_command(manifest, "default", {}, {})

    def test_after_additions_and_deletions(self, tmp_path: Path) -> None:
        documents = orchard(90)
        index = tmp_path / "index"
        build(
            documents[:50],
            index,
            {"other": "plain-bm25", "words": "english-bm25:k1=1.2 + 2*wordpiece-bm25:b=0.1"},
            settings=BuildSettings(order="bisected", passage_tokens=16),
        )
        add_documents(index, documents[50:])
        merge_segments(index, segments=1, compress=True)
        add_documents(index, [Document("late", "a fig")])
        gone = [document.doc_id for document in documents[::3]]
        delete_documents(index, [*gone, "late"])
        left = [document for document in documents if document.doc_id not in gone]
        build(
            left,
            tmp_path / "new",
            "english-bm25:k1=0.3,b=1 + 2*wordpiece-bm25:k1=3,b=0",
            settings=BuildSettings(passage_tokens=16),
        )
        assert read_manifest(tmp_path / "new").row_count > len(left)
        folder = tmp_path / "copy"
        folder.mkdir()
        copy = ReweighedSpace(open_snapshot(index), "words", folder)
        copy.weigh({"english-bm25": K1B(0.3, 1), "wordpiece-bm25": K1B(3, 0)})
        assert rankings(copy.path) == rankings(tmp_path / "new")


def called(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout, result.stderr


def test_the_command_of_a_space_of_one_part(index: Path, collection: Path) -> None:
    """Without --k1-b there would be nothing to find."""
    code, out, err = called(index, "--data", collection, "--k1-b")
    assert code == 0
    assert "k1 and b of space default, dev judgements of repetitions: nDCG@10" in out
    assert "| plain-bm25 | 0.6 | 0.2 | " in out
    assert "| held back | " in out
    assert "| plain-bm25:k1=0.6,b=0.2 | 0." in out
    assert "\nindexer build CORPUS -o NEW.winnow --encoder plain-bm25:k1=" in out
    assert "with plain-bm25:k1=1.2,b=0.2" in err
    with pytest.raises(TuningError, match="one part only"):
        called(index, "--data", collection, "--k1-b", "--apply")


def test_weights_come_first_and_k1_b_under_them(collection: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.winnow"
    build(collection, path, f"{PART}:k1=0.6,b=0.2 + 0.01*english-bm25:k1=0.6,b=0.2")
    code, out, _ = called(path, "--data", collection, "--k1-b", "--apply", "-q", "--json")
    answer = json.loads(out)
    weights = answer["chosen"] if answer["held_back"]["difference"] >= 0 else answer["present"]
    assert code == int(answer["applied"] != (answer["chosen"] != answer["present"]))
    found = answer["bm25"]
    assert found["weights"] == weights
    assert found["present"]["english-bm25"] == {"k1": 0.6, "b": 0.2}
    assert found["held_back"]["mean_a"] > found["held_back"]["mean_b"]
    assert {"settings", "value"} == set(found["trials"][0])
    assert found["build"].startswith("indexer build")
    # Only the weights are the index's own.
    parts = read_manifest(path).spaces["default"].parts
    assert {part.name: part.weight for part in parts} == weights
    assert [part.encoder.parameters["k1"] for part in parts] == [0.6, 0.6]
    _, out, _ = called(path, "--data", collection, "-q", "--json")
    assert "bm25" not in json.loads(out)


def test_settings_that_hurt_the_held_back_half_are_not_advised(
    index: Path, collection: Path
) -> None:
    """The half to choose on wants the short documents, the other half the long ones."""
    found = open_dataset(collection, "dev")
    of_length = {q: judged for q, judged in found.qrels.items() if int(q[1:]) % 3 == 2}
    choosing, _ = divide(of_length)
    qrels = {q: {f"{'r' if q in choosing else 'o'}{q[1:]}": 1} for q in of_length}
    dataset = Dataset(found.name, found.path, "test", found.queries, qrels)
    with open_index(index) as searcher:
        tuning = tune_bm25(searcher, dataset)
    assert tuning.is_changed
    assert not tuning.is_safe
    assert tuning.as_json()["build"] is None
    assert any("judgements of the test split" in note for note in tuning.notes)
    assert any("queries are few" in note for note in tuning.notes)
    assert "Keep the k1 and b of the index: nDCG@10 of the held-back half" in bm25_table(tuning)
    assert "indexer build" not in bm25_table(tuning)


def test_a_space_without_bm25_has_no_k1(collection: Path, tmp_path: Path) -> None:
    build([Document("r0", "a learned text")], tmp_path / "learned.winnow", "splade")
    with (
        open_index(tmp_path / "learned.winnow") as searcher,
        pytest.raises(TuningError, match="no BM25 part"),
    ):
        tune_bm25(searcher, open_dataset(collection, "dev"))


def test_the_build_command_repeats_what_the_index_was_built_with(
    tmp_path: Path, vectors_directory: Path
) -> None:
    build(
        orchard(5),
        tmp_path / "index",
        {
            "first": "bm25:analyzer=plain,b=0.3,k1=1 + 0.5*english-bm25 + english-bm25:k1=2",
            "second": "plain-bm25:k1=2",
        },
        settings=BuildSettings(split=False, order="bisected"),
        vectors=str(vectors_directory),
    )
    manifest = read_manifest(tmp_path / "index")
    chosen = {"bm25": K1B(1.5, 0.0), "english-bm25-2": K1B(3, 1)}
    written = build_command(manifest, "first", chosen, {"bm25": 2.0, "english-bm25": 0.7})
    first = "2.0*bm25:analyzer=plain,k1=1.5,b=0 + 0.7*english-bm25 + english-bm25:k1=3,b=1"
    assert shlex.split(written)[5:] == [
        *("--encoder", f"first={first}"),
        *("--encoder", "second=plain-bm25:k1=2"),
        *("--vectors", str(vectors_directory), "--no-split", "--order", "bisected"),
    ]
    heavier = build_command(manifest, "first", chosen, {"bm25": 2.0, VECTORS: 7.5})
    assert heavier.endswith(" && indexer configure NEW.winnow --rerank 7.5")
    gone = manifest.rerank.model_copy(update={"argument": str(tmp_path / "gone")})
    elsewhere = manifest.model_copy(update={"rerank": gone})
    assert build_command(elsewhere, "first", chosen, {}).endswith(" --rerank 3")
    written = build_command(manifest, "second", {PART: K1B(1.5, 0.2)}, {PART: 1.0})
    assert "second=plain-bm25:k1=1.5,b=0.2" in shlex.split(written)


class TestSearch:
    def test_parts_take_turns(self) -> None:
        best, trials = search_k1_b(
            {"a": K1B(0.9, 0.4), "b": K1B(0.9, 0.4)},
            lambda s: -abs(s["a"].k1 - 2.2) - abs(s["a"].b - s["b"].b) - abs(s["b"].b - 0.8) / 2,
        )
        assert best.settings["a"].k1 == 2.2
        assert best.settings["a"].b == pytest.approx(best.settings["b"].b, abs=0.1)
        assert best.value == max(trial.value for trial in trials)
        assert len({tuple(trial.settings.values()) for trial in trials}) == len(trials) < 70

    def test_nothing_better_leaves_the_present_settings(self) -> None:
        present = {"a": K1B(0.77, 0.33)}
        best, trials = search_k1_b(present, lambda _: 0.5)
        assert best.settings == present == trials[0].settings

    def test_of_equal_values_the_nearest_wins(self) -> None:
        best, _ = search_k1_b({"a": K1B(0.9, 0.4)}, lambda s: float(s["a"].k1 >= 1.2))
        assert best.settings["a"] == K1B(1.2, 0.4)

    def test_values_stay_where_bm25_allows_them(self) -> None:
        for sign in (1, -1):
            _, trials = search_k1_b({"a": K1B(0.0, 1.0)}, lambda s, by=sign: by * sum(s["a"]))
            assert all(t.settings["a"].k1 >= 0 and 0 <= t.settings["a"].b <= 1 for t in trials)


@pytest.mark.parametrize("module", ["eval.bm25_search", "eval.bm25_tuning"])
def test_examples_run(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
