"""Losses are shown with their texts."""

from __future__ import annotations

import json
import sys

from benchmarks.training import failures


def test_losses_are_shown_with_their_texts(tmp_path, monkeypatch, capsys):
    data, runs = tmp_path / "data" / "small", tmp_path / "runs" / "small"
    (data / "qrels").mkdir(parents=True)
    runs.mkdir(parents=True)
    texts = {"a": "a wanted text", "b": "another text", "c": "a third"}
    with (data / "corpus.jsonl").open("w") as file:
        for doc_id, text in texts.items():
            file.write(json.dumps({"_id": doc_id, "title": "", "text": text}) + "\n")
    with (data / "queries.jsonl").open("w") as file:
        for number in (1, 2):
            file.write(json.dumps({"_id": f"q{number}", "text": f"question {number}"}) + "\n")
    judged = "query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\tb\t1\n"
    (data / "qrels" / "test.tsv").write_text(judged)
    ours = {"q1": [["c", 2.0], ["a", 1.0]], "q2": [["b", 1.0]]}
    base = {"q1": [["a", 2.0], ["c", 1.0]], "q2": []}
    for name, run in (("ours", ours), ("BM25", base)):
        (runs / f"{name}.json").write_text(json.dumps({"run": run}))
    arguments = ["--data", tmp_path / "data", "--runs", tmp_path / "runs", "--place", "small"]
    arguments += ["--system", "ours", "--show", 1]
    monkeypatch.setattr(sys, "argv", ["failures", *map(str, arguments)])
    failures.main()
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [
        "small: 1 questions won by more than 0.05, 1 lost",
        "q1: -0.369",
        "question: question 1",
        "wanted (1, now 2): a wanted text",
        "found (2, now 1): a third",
    ]
