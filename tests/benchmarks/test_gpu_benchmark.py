"""The benchmark of the GPU head runs where little is installed, and says which bars are met."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.head_verdicts import COMPILED, EAGER, FUSED, verdicts

ROOT = Path(__file__).parents[2]

# Packages of Winnow beside which those of a machine with a GPU are few; they cannot be found.
FEW_PACKAGES = """
import sys
ABSENT = {
    "Stemmer", "click", "flask", "gunicorn", "ir_measures", "onnx", "onnxruntime", "pydantic",
    "rich", "scipy", "sentence_transformers", "sklearn", "xxhash", "zstandard",
}
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ABSENT:
            return self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Hiding, sys.meta_path)
"""


def run(code: str, folder: Path) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", FEW_PACKAGES + code, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.torch
def test_whole_encoders_run_where_few_packages_are(write_splade, tmp_path):
    pytest.importorskip("torch", reason="needs the [encode] extra")
    pytest.importorskip("transformers", reason="needs the [encode] extra")
    write_splade(tmp_path)
    code = """
import benchmarks.gpu.encoding_speed
from encoders.base import Document
from encoders.splade import create
encoder = create("splade", sys.argv[1], device="cpu")
print(encoder.encode_documents([Document("1", "red planet")]).nnz)
print(encoder.spec.parameters["content_hash"])
"""
    count, content_hash = run(code, tmp_path).split()
    assert int(count) > 0
    from encoders.splade import create

    assert content_hash.startswith("sha256:")  # Not one that an index recorded.
    assert str(create("splade", str(tmp_path)).spec.parameters["content_hash"])[:5] == "xxh3:"


def test_what_is_missing_for_whole_encoders_is_named(tmp_path):
    code = """
ABSENT |= {"transformers", "numba", "tokenizers"}
from benchmarks.gpu.splade_head import encoding
encoding(9)
"""
    assert run(code, tmp_path).strip() == (
        "left out: it needs transformers, numba, tokenizers, which cannot be imported here"
    )


def head(name: str, forward: float, both: float, mib: float, dtype: str = "bfloat16") -> Any:
    common = {"type": dtype, "vocabulary": 30522, "kind": "full", "head": name}
    times = {"forward_ms": forward, "both_ms": both, "forward_mib": mib, "both_mib": mib}
    return common | times


FIGURES: dict[str, Any] = {
    "checks": {
        "rows": [
            {"type": "float32", "weights": 9e-6, "gradients": 1e-6},
            {"type": "bfloat16", "weights": 2e-4, "gradients": 5e-3},
            {"type": "bfloat16", "weights": float("nan"), "gradients": 1e-3},
        ]
    },
    "head": {
        "rows": [
            head(EAGER, 5.0, 10.0, 1000.0),
            head(COMPILED, 1.5, 2.5, 500.0),
            head(FUSED, 1.0, 2.0, 50.0),
            head(FUSED, 0.1, 0.1, 1.0) | {"kind": "ragged"},
            head(EAGER, 5.0, 10.0, 1000.0, "float32"),
            head(FUSED, 2.0, 2.0, 50.0, "float32"),
        ]
    },
    "encoding": {"rows": [{"products": "high", "ours": 300.0, "peer": 100.0}]},
}


def test_a_verdict_for_each_bar():
    found = {title: (shown, verdict) for title, _, shown, verdict in verdicts(FIGURES)}
    gradient = "error of a gradient, against autograd in float64"
    expected = {
        "error of a weight, float32": ("9.0e-06", "met"),
        "error of a weight, bfloat16": ("nan", "MISSED"),
        "error of a weight, float16": ("", "not measured"),
        f"{gradient}, float32": ("1.0e-06", "met"),
        f"{gradient}, bfloat16": ("5.0e-03", "MISSED"),
        f"{gradient}, float16": ("", "not measured"),
        "times as fast as eager, bfloat16": ("5.00 forward, 5.00 forward + backward", "met"),
        "times as fast as eager, float32": ("2.50 forward, 5.00 forward + backward", "MISSED"),
        "times less extra memory than eager, bfloat16": (
            "20.00 forward, 20.00 forward + backward",
            "met",
        ),
        "times less extra memory than eager, float32": (
            "20.00 forward, 20.00 forward + backward",
            "met",
        ),
        "times as fast as torch.compile, bfloat16": (
            "1.50 forward, 1.25 forward + backward",
            "MISSED",
        ),
        "times as fast as torch.compile, float32": ("", "not measured"),
        "documents/s, times those of sentence-transformers": ("3.00 with high products", "met"),
    }
    assert found == expected


def test_without_figures_every_bar_says_so():
    rows = verdicts({})
    assert len(rows) == 10
    assert {(shown, verdict) for _, _, shown, verdict in rows} == {("", "not measured")}


def test_parts_that_broke_are_not_measured():
    broken = {"checks": {"failed": "x"}, "head": {"failed": "x"}, "encoding": {"left_out": ["x"]}}
    assert {verdict for *_, verdict in verdicts(broken)} == {"not measured"}
