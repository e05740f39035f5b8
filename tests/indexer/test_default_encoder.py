"""What a build indexes when nobody says what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from encoders.base import Document
from encoders.exported import read_exported
from encoders.shipped import (
    BIGRAM_WEIGHT,
    SHIPPED_MODEL,
    default_expression,
    static_vectors,
)
from indexer.builder import add_documents, build
from indexer.configuration import configure_part
from indexer.corpus.records import CorpusRecord
from indexer.default_encoder import FALLBACK, choose_encoder
from indexer.errors import IndexerError
from indexer.format.manifest import read_manifest
from indexer.settings import BATCH_CHARACTERS
from retriever.reranking import RERANK
from retriever.searcher import open_index

ENGLISH = [
    Document("health", "The physician examined the sick patient in the hospital."),
    Document("rain", "Heavy rain flooded the streets of the town."),
    Document("garage", "The automobile would not start, so its battery was replaced."),
    Document("court", "A lawyer defended the accused in front of the judge."),
]
PARAPHRASES = {"doctor": "health", "car": "garage", "attorney": "court"}
GERMAN = [
    Document(
        str(number), "Der Fluss trat nach dem Regen über die Ufer und überschwemmte die Stadt."
    )
    for number in range(20)
]
CHINESE = [Document(str(number), "大雨过后河水漫过堤岸淹没了整个城市") for number in range(20)]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("default") / "index"
    report = build(ENGLISH, path)
    assert report.warnings == ()
    return path


def part_names(index: Path) -> list[str]:
    manifest = read_manifest(index)
    assert list(manifest.spaces) == ["default"]
    return [part.name for part in manifest.spaces["default"].parts]


def records(documents: list[Document]) -> list[CorpusRecord]:
    return [CorpusRecord(document, "-", number) for number, document in enumerate(documents, 1)]


def test_english_text_gets_three_parts_with_their_weights(index):
    weight = read_exported(SHIPPED_MODEL)[0].part_weight
    parts = read_manifest(index).spaces["default"].parts
    assert [(part.name, part.weight) for part in parts] == [
        ("english-bm25", 1),
        ("english-bigrams-bm25", BIGRAM_WEIGHT),
        ("splade", weight),
    ]
    assert parts[2].query.table == "content-idf"
    vectors = static_vectors()
    rerank = read_manifest(index).rerank
    assert rerank is not None
    assert (rerank.weight, rerank.depth) == (vectors.config.weight, vectors.config.depth)


@pytest.mark.parametrize("query", PARAPHRASES)
def test_it_finds_a_paraphrase_that_words_miss(index, tmp_path, query):
    build(ENGLISH, tmp_path / "words", "bm25")
    assert open_index(tmp_path / "words").search(query).hits == ()
    found = open_index(index).search(query, explain=True).hits
    assert found[0].doc_id == PARAPHRASES[query]
    assert {term.part for term in found[0].explanation} == {"splade", RERANK}


def test_both_parts_are_searched_at_their_weights(index):
    searcher = open_index(index)
    [hit, *_] = searcher.search("physician", explain=True, rerank=0).hits
    by_part = {term.part: term.contribution for term in hit.explanation}
    assert by_part.keys() == {"english-bm25", "splade"}
    assert sum(by_part.values()) == pytest.approx(hit.score)
    weight = read_exported(SHIPPED_MODEL)[0].part_weight
    [single, *_] = searcher.search(
        "physician", part_weights={"english-bm25": 0, "splade": 2 * weight}, rerank=0
    ).hits
    assert single.score == pytest.approx(2 * by_part["splade"], rel=1e-5)


def test_stop_words_of_a_query_weigh_nothing(index, tmp_path):
    def tokens(path: Path, query: str) -> list[str]:
        terms = open_index(path)._snapshot.space(None).terms(query)
        return [term.term for term in terms if term.part == "splade"]

    query = "What is the doctor of a hospital?"
    assert tokens(index, query) == ["what", "doctor", "hospital"]
    shutil.copytree(index, tmp_path / "index")
    configure_part(tmp_path / "index", None, "splade", query_table="corpus-idf")
    assert len(tokens(tmp_path / "index", query)) == 8  # is, the, of, a and the mark as well
    configure_part(tmp_path / "index", None, "splade", query_table="content-idf")
    assert tokens(tmp_path / "index", query) == tokens(index, query)
    for name in ("english-bm25", "english-bigrams-bm25"):
        with pytest.raises(IndexerError, match="open vocabulary"):
            configure_part(index, None, name, query_table="content-idf")


def test_documents_can_be_added(index, tmp_path):
    build(ENGLISH[:2], tmp_path / "grown")
    add_documents(tmp_path / "grown", records(ENGLISH[2:]))
    assert open_index(tmp_path / "grown").search("car").hits[0].doc_id == "garage"


@pytest.mark.parametrize("documents", [GERMAN, CHINESE], ids=["german", "chinese"])
def test_other_languages_get_plain_bm25_and_a_word_about_it(tmp_path, documents):
    report = build(documents, tmp_path / "index")
    assert report.documents == len(documents)
    assert part_names(tmp_path / "index") == [FALLBACK]
    assert read_manifest(tmp_path / "index").rerank is None
    [warning] = report.warnings
    assert "not to be English" in warning
    assert "--encoder" in warning


def test_the_command_says_it_too(indexer, tmp_path):
    lines = [json.dumps({"id": d.doc_id, "text": d.text}) for d in GERMAN]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    answer = indexer("build", tmp_path / "corpus.jsonl", "-q")
    assert answer.code == 0
    assert answer.stdout.count("not to be English") == 1
    assert part_names(tmp_path / "corpus.jsonl.winnow") == [FALLBACK]


@pytest.mark.parametrize("encoder", ["bm25", "english-bm25"])
def test_an_encoder_that_is_asked_for_is_not_put_right(indexer, tmp_path, encoder):
    lines = [json.dumps({"id": d.doc_id, "text": d.text}) for d in GERMAN]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    answer = indexer("build", tmp_path / "corpus.jsonl", "-q", "--encoder", encoder)
    assert answer.stdout.count("Use --analyzer plain") == 1
    assert part_names(tmp_path / "corpus.jsonl.winnow") == [encoder]


def test_too_little_text_counts_as_english(tmp_path):
    build([Document("a", "Grüße")], tmp_path / "few")
    build([], tmp_path / "none")
    assert part_names(tmp_path / "few") == part_names(tmp_path / "none")


def test_no_record_is_lost_or_read_twice():
    batch = records(ENGLISH * 600)
    reading = iter(batch)
    chosen = choose_encoder(reading)
    assert chosen.expression == default_expression()
    assert len(batch) - len(list(reading)) == 1000
    assert list(choose_encoder(iter(batch)).records) == batch


def test_long_documents_are_not_all_held():
    huge = Document("huge", "The sea and the land. " * (BATCH_CHARACTERS // 40))
    reading = iter(records([huge] * 50))
    choose_encoder(reading)
    assert len(list(reading)) >= 45
