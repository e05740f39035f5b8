"""transformers works beside a top-level package of ours that is called ``kernels``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = {"model_type": "bert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1}
CONFIG |= {"num_attention_heads": 2, "intermediate_size": 8}
ROBERTA = CONFIG | {"model_type": "roberta"}
CODE = f"""
import kernels
assert not hasattr(kernels, "Device"), kernels.__file__
from encoders._transformers import masked_language_model
model = masked_language_model({CONFIG!r})
assert type(model).__name__ == "BertForMaskedLM" and not model.training
"""


@pytest.mark.torch
def test_models_load_with_metadata_of_hugging_face_kernels(tmp_path):
    pytest.importorskip("torch", reason="needs the [encode] extra")
    pytest.importorskip("transformers", reason="needs the [encode] extra")
    version = "0.18.2"  # One that transformers 5.23 and later import from.
    folder = tmp_path / f"kernels-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kernels\nVersion: {version}\n")
    (folder / "top_level.txt").write_text("kernels\n")
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n{CODE}"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("absent", ["torch", "transformers"])
def test_absent_packages_are_named_with_the_extra(tmp_path, absent):
    code = f"""
import sys
sys.modules[{absent!r}] = None
from encoders.errors import EncoderError
from encoders.masked_lm import load_masked_language_model
try:
    load_masked_language_model({ROBERTA!r}, [])
except EncoderError as error:
    print(error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert answer.returncode == 0, answer.stderr
    assert "pip install 'winnow-search[encode]'" in answer.stdout


def test_only_the_guard_imports_transformers():
    importing = [
        path.relative_to(ROOT).as_posix()
        for folder in ("api", "encoders", "eval", "indexer", "kernels", "retriever")
        for path in (ROOT / folder).rglob("*.py")
        if any(
            line.lstrip().startswith(("import transformers", "from transformers"))
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    ]
    assert importing == ["encoders/_transformers.py"]
