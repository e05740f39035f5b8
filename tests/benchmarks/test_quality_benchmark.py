"""The benchmark of relevance with SPLADE-tiny compares every figure that it has to reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.splade_tiny_quality import CHECKED, MEASURES, PROTOTYPE, SYSTEMS, compare, table

ROOT = Path(__file__).parents[2]


def prototype(name: str) -> dict[str, dict[str, float]]:
    return {
        system: dict(zip(MEASURES, values, strict=True))
        for system, values in zip(SYSTEMS, PROTOTYPE[name].figures, strict=True)
    }


@pytest.mark.parametrize("name", PROTOTYPE)
@pytest.mark.parametrize("system", CHECKED)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("difference", [0.0051, -0.0051])
def test_a_figure_past_the_tolerance_is_named(name, system, measure, difference):
    figures = prototype(name)
    assert compare(name, figures)["within_tolerance"]
    figures[system][measure] += difference
    found = compare(name, figures)
    assert not found["within_tolerance"]
    assert found["missed"] == {f"{system} {measure}": pytest.approx(difference)}
    lines = {m: table({name: found}, m).splitlines()[-1] for m in MEASURES}
    assert {m: "| no |" in line for m, line in lines.items()} == {m: m == measure for m in MEASURES}


def test_the_documentation_names_the_figures_that_miss():
    stored = json.loads((ROOT / "benchmarks/results/splade_tiny_quality.json").read_text("utf-8"))
    documentation = (ROOT / "docs/encoders.md").read_text("utf-8")
    missed = {
        (name, key): found["relevance"]["+0.5"][key.split()[1]]
        for name, result in stored["collections"].items()
        for found in [compare(name, result["relevance"])]
        for key in found["missed"]
    }
    assert missed.keys() == {("cacm", "+0.5 nDCG@10"), ("cacm", "+0.5 R@100")}
    for value in missed.values():
        assert f"{value:.4f}".lstrip("0") in documentation
