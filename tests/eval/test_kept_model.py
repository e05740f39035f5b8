"""The decision between a trained model and the index's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the [encode] extra")
pytestmark = pytest.mark.torch

import eval.kept_model  # noqa: E402
from encoders.base import Document  # noqa: E402
from encoders.expression import PartExpression  # noqa: E402
from encoders.splade import create  # noqa: E402
from encoders.training.sources import Examples  # noqa: E402
from eval.compare import Comparison  # noqa: E402
from eval.kept_model import Verdict, compare_models  # noqa: E402
from indexer.builder import build  # noqa: E402
from indexer.configuration import configure_part, configure_rerank  # noqa: E402
from indexer.format.manifest import Manifest, read_manifest  # noqa: E402
from indexer.spaces import SpacePart  # noqa: E402
from retriever.snapshot import open_snapshot  # noqa: E402


def compared(kind: str, difference: float, low: float) -> Comparison:
    return Comparison(kind, "nDCG@10", 60, 0.5, 0.5, difference, low, 0.1, 1, 1, 1, 0.5, 0.5)


@pytest.mark.parametrize(
    ("difference", "low", "better"),
    [
        (0.01, 0.004, True),
        (0.004, -0.002, True),
        (0.01, -0.0021, False),  # it may well be worse
        (0.0, 0.0, False),
        (-0.001, -0.002, False),
    ],
)
def test_better_and_hardly_worse_at_worst(difference: float, low: float, better: bool) -> None:
    row = compared("titles", difference, low)
    assert Verdict((row,), row).is_better == better


def test_no_kind_of_query_pays_for_another() -> None:
    together = compared("together", 0.01, 0.005)
    for titles, better in ((-0.002, True), (-0.0021, False)):
        kinds = (compared("titles", titles, -0.01), compared("sentences", 0.03, 0.02))
        verdict = Verdict(kinds, together)
        assert verdict.is_better == better
        assert list(verdict.as_json()) == ["titles", "sentences", "together"]


def test_two_indexes_like_the_one_in_use_are_asked(
    tmp_path: Path,
    write_masked_lm: Callable[..., Path],
    vectors_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    argument = f"{write_masked_lm(tmp_path / 'model')}?max_length=20&prune=max_ratio:0.2"
    index = tmp_path / "x.winnow"
    expression = f"2*english-bm25 + 0.6*english-bigrams-bm25 + splade:{argument}"
    build([Document("a", "rain in york")], index, expression, vectors=str(vectors_directory))
    configure_part(index, None, "splade", query_table="content-idf")
    configure_rerank(index, 0.25)
    built: list[tuple[Manifest, Any]] = []
    ask = eval.kept_model._ask

    def spy(path: Path, examples: Examples) -> Any:
        built.append((read_manifest(path), ask(path, examples)))
        return built[-1][1]

    monkeypatch.setattr(eval.kept_model, "_ask", spy)
    texts = ["rain in york", "sparse model table", "dense index", "weather of a planet"]
    examples = Examples(texts, ["york", "table", "index", "what"], [[0], [1], [1], [3]])
    part = SpacePart(PartExpression(9.0, "splade", argument, "splade"), create("splade", argument))
    others = Examples(texts, ["rain york"], [[0]])
    kinds = {"titles": examples, "sentences": others}
    verdict = compare_models(open_snapshot(index), "default", {"splade": part}, kinds)
    trained, own = (
        [(p.weight, p.encoder.parameters.get("prune"), p.query.table) for p in parts]
        for parts in (manifest.spaces["default"].parts for manifest, _ in built[:2])
    )
    words = [(2.0, None, "corpus-idf"), (0.6, None, "corpus-idf")]
    assert own == [*words, (1.0, "max_ratio:0.2", "content-idf")]
    assert trained == [*words, (9.0, "max_ratio:0.2", "corpus-idf")]  # as the new part says
    assert [m.rerank.weight for m, _ in built if m.rerank is not None] == [0.25] * 4
    means = [np.mean([v["nDCG@10"] for v in values.values()]) for _, values in built]
    row, other = verdict.kinds
    assert (row.collection, row.queries, row.mean_a, row.mean_b) == ("titles", 4, *means[:2])
    assert (other.collection, other.queries) == ("sentences", 1)
    assert (other.mean_a, other.mean_b) == tuple(means[2:])
    assert 0 < row.mean_b < 1
    assert verdict.together.queries == 5
    assert verdict.together.mean_b == pytest.approx((4 * row.mean_b + other.mean_b) / 5)
