"""Encoders by name, with real plug-in distributions on the import path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from encoders.base import Document
from encoders.errors import EncoderError, UnknownEncoderError
from encoders.registry import BUILT_IN_ENCODERS, create_encoder, encoder_names

PLUG_IN = """
from encoders.bm25 import create as create_bm25
import {needed}

def create(name, argument=None, **options):
    return create_bm25("plain-bm25", argument, **options)

def create_nothing(name, argument=None, **options):
    return object()
"""


@pytest.fixture
def plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """An installed distribution with entry points, as pip leaves it behind."""
    module = f"winnow_plug_in_{abs(hash(request.node.name))}"
    (tmp_path / f"{module}.py").write_text(PLUG_IN.format(needed="json"))
    (tmp_path / f"{module}_broken.py").write_text(PLUG_IN.format(needed="package_nobody_has"))
    metadata = tmp_path / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[winnow.encoders]\n"
        f"third-party = {module}:create\n"
        f"english-bm25 = {module}:create\n"
        f"broken = {module}_broken:create\n"
        f"nothing = {module}:create_nothing\n"
        f"misspelt = {module}:craete\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_built_in_names_are_made() -> None:
    encoder = create_encoder("english-bm25", "k1=1.2", average_length=3.0)
    assert encoder.spec.parameters["k1"] == 1.2
    assert encoder.encode_documents([Document("d", "cats")]).terms == ["cat"]


def test_built_in_names_agree_with_the_packaging() -> None:
    import tomllib

    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    packaged = pyproject["project"]["entry-points"]["winnow.encoders"]
    assert packaged.items() <= BUILT_IN_ENCODERS.items()


def test_built_in_names_work_without_installed_metadata() -> None:
    code = (
        "import importlib.metadata as m; m.entry_points = lambda **k: m.EntryPoints();"
        "from encoders.registry import create_encoder, encoder_names;"
        "print(create_encoder('plain-bm25').spec.name, 'splade' in encoder_names())"
    )
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["plain-bm25", "True"]


def test_naming_encoders_imports_none() -> None:
    code = (
        "import sys; from encoders.registry import encoder_names; encoder_names();"
        "print([m for m in ('encoders.bm25', 'encoders.splade', 'torch') if m in sys.modules])"
    )
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownEncoderError, match=r"'englsh-bm25'\. Did you mean 'english-bm25'\?"):
        create_encoder("englsh-bm25")
    with pytest.raises(UnknownEncoderError, match=r"'zzz'\. Known encoders: .*-bm25, sae, splade"):
        create_encoder("zzz")


@pytest.mark.usefixtures("plug_in")
def test_a_plug_in_is_found_and_does_not_replace_a_built_in() -> None:
    assert "third-party" in encoder_names()
    assert create_encoder("third-party").spec.name == "plain-bm25"
    assert create_encoder("english-bm25").spec.name == "english-bm25"


@pytest.mark.usefixtures("plug_in")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "'broken' needs the package 'package_nobody_has'"),
        ("nothing", "returned a object, which is not a DocumentEncoder"),
        ("misspelt", "craete does not exist"),
    ],
)
def test_a_broken_plug_in_is_named(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        create_encoder(name)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "encoders.splade", None)
    with pytest.raises(EncoderError, match=r"pip install 'winnow-search\[encode\]'"):
        create_encoder("splade", "DIR")
