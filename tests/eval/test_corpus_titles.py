"""What asks for documents: titles, headings, and the queries of a log."""

from __future__ import annotations

import doctest
import gzip
import json
from pathlib import Path

import pytest

import encoders.training.inverse_cloze
import eval.corpus_titles
from encoders.base import Document
from eval.corpus_sentences import write_sentences
from eval.corpus_titles import (
    split_heading,
    split_of,
    titled_sample,
    write_queries,
    write_titles,
)
from eval.errors import DatasetError
from eval.query_log import read_query_log


def test_examples_run() -> None:
    for module in (eval.corpus_titles, encoders.training.inverse_cloze):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("Opening hours\nWe open at nine on weekdays.", "Opening hours"),
        ("\n\n## Opening hours\n\nWe open at nine.", "Opening hours"),
        ("Opening hours\r\nWe open at nine on weekdays.", "Opening hours"),
        ("one two three four five six seven eight nine ten eleven twelve\n" + "word " * 13, "one"),
        (
            "one two three four five six seven eight nine ten eleven twelve 13\n" + "word " * 20,
            None,
        ),
        ("We open at nine.\nAnd we close at five in the evening.", None),
        ("When do we open?\nAt nine in the morning, on weekdays.", None),
        ("Opening hours:\nWe open at nine on weekdays.", None),
        ("Opening hours\nWe open", None),  # not longer than the line
        ("Opening hours", None),
        ("# \nWe open at nine.", None),
        ("", None),
    ],
)
def test_a_short_first_line_is_a_heading(text: str, heading: str | None) -> None:
    found = split_heading(text)
    if heading is None:
        assert found is None
    else:
        assert found is not None
        assert found[0].startswith(heading)
        assert text.endswith(found[1].split("\n")[-1] + text[len(text.rstrip()) :])
        assert heading not in found[1]


def test_a_title_is_not_replaced_by_a_heading() -> None:
    document = Document("a", "A line\nand the text below the line", title="Title")
    sample = titled_sample([document])
    assert sample.documents == [document]
    assert sample.titles == {"Title": [0]}
    assert not sample.headings


def test_a_heading_that_is_a_title_elsewhere_counts_as_a_title() -> None:
    documents = [
        Document("a", "Rain\nfalls from clouds in drops", title=""),
        Document("b", "Drops that fall", title="Rain"),
    ]
    sample = titled_sample(documents)
    assert sample.titles == {"Rain": [0, 1]}
    assert sample.counts == "1 titles and 0 headings"


def test_titles_of_one_text_stand_on_one_side(tmp_path: Path) -> None:
    documents = [
        Document(f"d{number}", f"text {number}", title=f"title {number // 2}")
        for number in range(400)
    ]
    write_titles(titled_sample(documents), tmp_path / "titles", tmp_path / "teaching")
    asked = {}
    for split in ("train", "dev", "check"):
        lines = (tmp_path / "titles" / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]
        asked[split] = {line.split("\t")[1] for line in lines}
    assert sum(map(len, asked.values())) == len(set.union(*asked.values())) == 400
    assert all(len(doc_ids) % 2 == 0 for doc_ids in asked.values())
    taught = (tmp_path / "teaching" / "corpus.jsonl").read_text().splitlines()
    assert {json.loads(line)["_id"] for line in taught} == asked["train"]
    text = (tmp_path / "titles" / "corpus.jsonl").read_text()
    assert "title" not in text


def test_sentences_leave_the_documents_that_they_ask_for(tmp_path: Path) -> None:
    documents = [
        Document(
            f"d{number}",
            f"Text {number} begins. The sentence of number {number} is this one. And it ends.",
            title=f"title {number}",
        )
        for number in range(100)
    ]
    documents += [
        Document("short", "One sentence.", title="t"),
        Document("bare", "No title. No title. No title."),
    ]
    sample = titled_sample(documents)
    counts = write_sentences(sample, tmp_path)
    splits = [split_of(f"title {number}") for number in range(100)]
    assert counts == {split: splits.count(split) for split in ("dev", "check", "train")}
    texts = [json.loads(line)["text"] for line in (tmp_path / "corpus.jsonl").open()]
    asked = {
        json.loads(line)["_id"]: json.loads(line)["text"]
        for line in (tmp_path / "queries.jsonl").open()
    }
    for number, split in enumerate(splits):
        sentence = f"The sentence of number {number} is this one."
        held_back = split != "train"
        assert texts[number].startswith(f"title {number} Text {number} begins.")
        assert (sentence in texts[number]) != held_back
        assert asked.get(str(number)) == (sentence if held_back else None)
    for split in ("dev", "check"):
        lines = (tmp_path / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]
        assert lines == [f"{n}\t{n}\t1" for n, found in enumerate(splits) if found == split]
    assert texts[100:] == ["t One sentence.", "No title. No title. No title."]


def test_headings_are_taken_out_of_what_is_asked(tmp_path: Path) -> None:
    documents = [
        Document(f"d{number}", f"heading {number}\nthe text that stands below it")
        for number in range(40)
    ]
    write_titles(titled_sample(documents), tmp_path / "titles", tmp_path / "teaching")
    assert "heading" not in (tmp_path / "titles" / "corpus.jsonl").read_text()
    queries = (tmp_path / "titles" / "queries.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in queries] == [f"heading {n}" for n in range(40)]
    [first, *_] = (tmp_path / "teaching" / "corpus.jsonl").read_text().splitlines()
    assert json.loads(first)["title"].startswith("heading")


def test_a_log_has_each_query_once(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes("rain\n\n  rain \nsnöw\r\n   \nrain in york".encode())
    assert read_query_log(path) == ["rain", "snöw", "rain in york"]
    packed = tmp_path / "log.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_query_log(packed) == read_query_log(path)
    write_queries(read_query_log(path), tmp_path / "folder")
    lines = (tmp_path / "folder" / "queries.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == {"_id": "1", "text": "snöw"}


@pytest.mark.parametrize(
    ("content", "message"), [(b"\n  \n", "holds no query"), (b"\xff\xfe\xff", "not UTF-8")]
)
def test_a_log_without_queries_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_query_log(path)
