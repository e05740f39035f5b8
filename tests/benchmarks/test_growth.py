"""The growth of times with the number of records."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engine import growth, statistics


def test_examples_run() -> None:
    for module in (growth, statistics):
        assert doctest.testmod(module).failed == 0


def test_results_of_several_samples_become_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def result(name: str, documents: int, mean: float) -> dict[str, Any]:
        row = {"engine": "lucene", "setting": "ids", "boundary": "whole", "mean_us": mean}
        return {
            "command": f"--documents {documents}",
            "sets": {name: {"documents": documents, "k": {"10": [row]}}},
        }

    paths = []
    for number, content in enumerate((result("text@1000", 1000, 20.0), result("text", 4000, 40.0))):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(content))
    output = tmp_path / "growth.json"
    monkeypatch.setattr("sys.argv", ["growth", *map(str, paths), "-o", str(output)])
    growth.main()
    assert "| text | 10 | lucene ids whole | 20 | 40 | 0.50 |" in capsys.readouterr().out
    found = json.loads(output.read_text())
    [row] = found["mean_us"]
    assert row["by_records"] == {"1000": 20.0, "4000": 40.0}
    assert row["exponent"] == pytest.approx(0.5)
    assert [made["command"] for made in found["measured_by"]] == [
        "--documents 1000",
        "--documents 4000",
    ]
