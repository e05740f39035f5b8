"""Which encoders the suite runs against: ours, or those given with ``--encoder``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from encoders.base import CorpusStatistics, Document, DocumentEncoder, StatisticalEncoder
from encoders.expression import parse_expression
from encoders.registry import create_encoder

OPTION = "conformance_encoders"

SAMPLE = (
    Document("d1", "Currently New York is rainy.", title="Weather"),
    Document("d2", "Mars, known for its reddish appearance, is often called the Red Planet."),
    Document("d3", "The cats' 2nd vector-space model scored 3.14 points: a dense index?"),
    Document("d4", "planet planet planet planet, and a word: planet", title="Planet"),
    Document("d5", "Straße naïve ångström ΑΒΓ привет мир"),
    Document("d6", "rank"),
)


@dataclass(frozen=True)
class Made:
    """An encoder ready to encode, and what it was made of."""

    encoder: DocumentEncoder
    argument: str | None


Make = Callable[[pytest.FixtureRequest], Made]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--encoder",
        action="append",
        dest=OPTION,
        metavar="EXPRESSION",
        help="Run the conformance suite against this encoder, such as my-encoder:ARGUMENT.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "made" in metafunc.fixturenames:
        given = metafunc.config.getoption(OPTION, None)
        cases = [pytest.param(_by_expression(text), id=text) for text in given or ()]
        metafunc.parametrize("made", cases or OURS, indirect=True, scope="session")


def _prepared(
    name: str, argument: str | None = None, sample: Sequence[Document] = SAMPLE, **options: object
) -> Made:
    """Makes an encoder; one that weighs by statistics is fitted to those of the sample."""
    encoder = create_encoder(name, argument, **options)
    if isinstance(encoder, StatisticalEncoder):
        counts = encoder.count_tokens(sample)
        encoder = encoder.fit(CorpusStatistics(len(sample), int(counts.weights.sum())))
    return Made(encoder, argument)


def _by_expression(text: str) -> Make:
    def make(_: pytest.FixtureRequest) -> Made:
        [part] = parse_expression(text)
        return _prepared(part.name, part.argument)

    return make


def _splade(fixture: str, settings: str = "", **written: object) -> Make:
    def make(request: pytest.FixtureRequest) -> Made:
        pytest.importorskip("torch", reason="needs the [encode] extra")
        pytest.importorskip("transformers", reason="needs the [encode] extra")
        folder = request.getfixturevalue("tmp_path_factory").mktemp("checkpoint")
        directory = request.getfixturevalue(fixture)(folder, **written)
        return _prepared("splade", f"{directory}{settings}")

    return make


def _splade_onnx(request: pytest.FixtureRequest, precision: str = "float32") -> Made:
    pytest.importorskip("torch", reason="needs the [encode] extra")
    pytest.importorskip("onnx", reason="needs the [encode] extra")
    from encoders.onnx_export import export_encoder

    folder = request.getfixturevalue("tmp_path_factory").mktemp("onnx")
    checkpoint = request.getfixturevalue("write_router")(folder / "checkpoint")
    export_encoder(checkpoint, folder / "exported", precision=precision)
    return _prepared("splade-onnx", str(folder / "exported"))


def _splade_tiny(request: pytest.FixtureRequest) -> Made:
    pytest.importorskip("torch", reason="needs the [encode] extra")
    pytest.importorskip("transformers", reason="needs the [encode] extra")
    return _prepared("splade", f"{request.getfixturevalue('splade_tiny')}?max_length=128")


BY_EXPRESSION = (
    "english-bm25",
    "english-all-words-bm25",
    "english-bigrams-bm25",
    "plain-bm25:k1=2,b=0.75",
    "wordpiece-bm25",
    "bm25:k1=0",
    "splade",  # The model that comes with Winnow.
)

BY_NAME: dict[str, dict[str, Make]] = {
    "splade": {
        "splade-router": _splade("write_router"),
        "splade-distilbert": _splade(
            "write_router",
            architecture="distilbert",
            activation="log1p_relu",
            at_root=False,
        ),
        "splade-symmetric": _splade("write_splade"),
        "splade-sum": _splade("write_splade", "?prune=top_k:20", strategy="sum"),
        "splade-plain": _splade("write_masked_lm", "?prune=max_ratio:0.1&aggregation=sum"),
        "splade-gte": _splade("write_gte"),
        "splade-tiny": _splade_tiny,
    },
    "splade-onnx": {
        "splade-onnx": _splade_onnx,
        "splade-onnx-int8": partial(_splade_onnx, precision="int8"),
    },
}
"""Checkpoints that the suite writes, by id, under the registered name of their encoder."""

EXEMPT = {
    "sae": "queries need its network, so that no index holds it; tests/encoders/test_sae.py",
}
"""Built-in encoders that the suite does not run against, and why."""

OURS = [
    *(pytest.param(_by_expression(text), id=text) for text in BY_EXPRESSION),
    *(
        pytest.param(make, id=name, marks=pytest.mark.torch)
        for cases in BY_NAME.values()
        for name, make in cases.items()
    ),
]


@pytest.fixture(scope="session")
def covered() -> set[str]:
    """Registered names of the encoders that the suite runs against where none is given."""
    return {part.name for text in BY_EXPRESSION for part in parse_expression(text)} | set(BY_NAME)


@pytest.fixture(scope="session")
def exempt() -> dict[str, str]:
    """Built-in encoders that it leaves out, with the reasons."""
    return EXEMPT


@pytest.fixture(scope="session")
def made(request: pytest.FixtureRequest) -> Made:
    """One encoder of the list, made once."""
    return request.param(request)


@pytest.fixture(scope="session")
def encoder(made: Made) -> DocumentEncoder:
    """The encoder alone."""
    return made.encoder


@pytest.fixture(scope="session")
def sample() -> tuple[Document, ...]:
    """Ordinary documents, with titles and without."""
    return SAMPLE


@pytest.fixture(scope="session")
def suite() -> Path:
    """Folder of the suite."""
    return Path(__file__).parent
