"""Finds k1 and b of a space's BM25 parts on judged queries, by weighing the stored text again."""

from __future__ import annotations

import re
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.expression import PartExpression, format_expression
from encoders.registry import encoder_names
from eval.bm25_search import Bm25Trial, Settings, as_json, search_k1_b
from eval.datasets.beir import Dataset
from eval.datasets.qrels import Qrels
from eval.errors import TuningError
from eval.halves import ChosenOnHalf, compare_on, divide
from eval.indexes import check_index_holds
from eval.measures import Evaluation
from eval.report import halves_table
from eval.results import DECIMALS
from eval.reweighing import K1B, ReweighedSpace, present_k1_b
from eval.tune import (
    VECTORS,
    Progress,
    TuningProtocol,
    evaluate_queries,
    notes_on_queries,
    present_weights,
)
from eval.weight_search import Weights
from indexer.format.manifest import Manifest, PartEntry
from indexer.spaces import DEFAULT_SPACE, vectors_argument, weight_to_configure
from retriever.searcher import Searcher, open_index
from retriever.snapshot import open_snapshot


@dataclass(frozen=True, kw_only=True)
class Bm25Tuning(ChosenOnHalf[K1B]):
    """k1 and b of BM25 parts, chosen on one half of the queries.

    Attributes:
        weights: Of all parts, under which they were chosen.
        trials: All settings tried, with the mean over the half where they were chosen.
        build: The command that builds an index with the settings chosen.
    """

    weights: dict[str, float]
    trials: list[Bm25Trial]
    build: str

    def as_json(self) -> dict[str, Any]:
        """Fields for JSON; the command is there if the settings are better."""
        return super().as_json() | {
            "weights": self.weights,
            "present": as_json(self.present),
            "chosen": as_json(self.chosen),
            "trials": [trial.as_json() for trial in self.trials],
            "build": self.build if self.is_changed and self.is_safe else None,
        }


def tune_bm25(
    searcher: Searcher,
    dataset: Dataset,
    protocol: TuningProtocol | None = None,
    *,
    space: str | None = None,
    weights: Weights | None = None,
    progress: Progress = lambda line: None,
) -> Bm25Tuning:
    """Chooses k1 and b of a space's BM25 parts on one half of the judged queries.

    Every trial weighs the text of the index in a copy of it and searches that. The present
    settings are weighed in the copy too, so that both sides have the average length of the
    documents that the index has now. The halves are those of :func:`eval.tune.tune`.

    Args:
        searcher: The index; it stays as it is, since other settings need a build.
        dataset: Its collection, with the judgements to tune on.
        protocol: Measure and more.
        space: Name of the space; the index's default one otherwise.
        weights: Weights of parts; those of the index otherwise.
        progress: Told each trial in one line.

    Raises:
        TuningError: The space has no BM25 part, or there are too few queries.
        UnknownSpaceError: There is no such space.
        SystemFailedError: The index is not one of this collection.
    """
    protocol = protocol or TuningProtocol()
    space, own = present_weights(searcher, space)
    weights = {**own, **(weights or {})}
    snapshot = open_snapshot(searcher.path)
    present = present_k1_b(snapshot.manifest.spaces[space])
    if not present:
        raise TuningError(
            f"space {space!r} has no BM25 part, and others have no k1 and b; leave out --k1-b."
        )
    notes = list(check_index_holds(searcher, dataset))
    choosing, held_back = divide(dataset.qrels, protocol.seed)
    name = str(protocol.measure)
    progress(f"counting the words of {snapshot.manifest.row_count:,} passages")
    with tempfile.TemporaryDirectory(prefix="winnow-tune-") as folder:
        copy = ReweighedSpace(snapshot, space, Path(folder))

        def evaluated(settings: Settings, qrels: Qrels) -> Evaluation:
            copy.weigh(settings)
            with open_index(copy.path) as opened:
                return evaluate_queries(opened, dataset, qrels, space, weights, protocol)

        def on_choosing_half(settings: Settings) -> float:
            value = evaluated(settings, choosing).means[name]
            progress(f"{value:.4f} with {described(settings)}")
            return value

        progress(f"trying k1 and b on {len(choosing)} queries, measure {name}")
        best, trials = search_k1_b(present, on_choosing_half)
        comparisons = compare_on(
            (choosing, held_back),
            lambda half, is_chosen: evaluated(best.settings if is_chosen else present, half),
            dataset.name,
            name,
            protocol.seed,
        )
    return Bm25Tuning(
        space=space,
        collection=dataset.name,
        split=dataset.split,
        measure=name,
        weights=weights,
        present=present,
        chosen=best.settings,
        choosing=comparisons[0],
        held_back=comparisons[1],
        trials=trials,
        build=build_command(snapshot.manifest, space, best.settings, weights),
        notes=(*notes, *notes_on_queries(dataset, len(held_back))),
    )


def described(settings: Settings) -> str:
    """Settings in one line.

    >>> described({"english-bm25": K1B(1.2, 0.75)})
    'english-bm25:k1=1.2,b=0.75'
    """
    return " + ".join(f"{part}:k1={s.k1:g},b={s.b:g}" for part, s in settings.items())


def bm25_table(tuning: Bm25Tuning) -> str:
    """The settings of each part, what they do on either half, all trials, and how to build."""
    parts = list(tuning.present)
    judgements = f"{tuning.split} judgements of {tuning.collection}"
    lines = [
        f"k1 and b of space {tuning.space}, {judgements}: {tuning.measure}",
        "",
        "| part | present k1 | present b | chosen k1 | chosen b |",
        "|---|--:|--:|--:|--:|",
    ]
    for part in parts:
        values = (*tuning.present[part], *tuning.chosen[part])
        lines.append(f"| {part} | " + " | ".join(f"{value:g}" for value in values) + " |")
    lines += ["", *halves_table(tuning)]
    lines += ["", f"| k1 and b | {tuning.measure} |", "|---|--:|"]
    for trial in sorted(tuning.trials, key=lambda trial: list(trial.settings.values())):
        figure = f"{trial.value:.{DECIMALS}f}"
        best = trial.settings == tuning.chosen
        lines.append(f"| {described(trial.settings)} | {f'**{figure}**' if best else figure} |")
    if tuning.notes:
        lines += ["", *(f"- {note}" for note in tuning.notes)]
    return "\n".join([*lines, "", *_advice(tuning)]) + "\n"


def _advice(tuning: Bm25Tuning) -> list[str]:
    if not tuning.is_changed:
        return ["No k1 and b were better than those that the index has."]
    if not tuning.is_safe:
        worse = f"{tuning.measure} of the held-back half would fall by"
        return [f"Keep the k1 and b of the index: {worse} {-tuning.held_back.difference:.5f}."]
    return [
        "Documents are weighed with k1 and b, so that a build puts them in force:",
        "",
        tuning.build,
    ]


def build_command(manifest: Manifest, space: str, settings: Settings, weights: Weights) -> str:
    """The command that builds an index like this one with other settings of a space.

    Args:
        manifest: Of the index.
        space: Name of the space.
        settings: k1 and b of its BM25 parts.
        weights: Of its parts, and of static vectors.
    """
    words = ["indexer", "build", "CORPUS", "-o", "NEW.winnow"]
    # The first space is the default one.
    for name in sorted(manifest.spaces, key=lambda name: name != manifest.default_space):
        parts = manifest.spaces[name].parts
        if name == space:
            expression = format_expression(
                tuple(_expression(part, settings.get(part.name), weights) for part in parts)
            )
        else:
            expression = format_expression(tuple(_expression(part) for part in parts))
        is_plain = len(manifest.spaces) == 1 and name == DEFAULT_SPACE
        words += ["--encoder", expression if is_plain else f"{name}={expression}"]
    if manifest.rerank is not None:
        words += ["--vectors", vectors_argument(manifest.rerank)]
    if not manifest.settings.get("split", True):
        words.append("--no-split")
    if manifest.settings.get("passage_tokens"):
        words += ["--passage-tokens", str(manifest.settings["passage_tokens"])]
    if manifest.settings.get("order") == "bisected":
        words += ["--order", "bisected"]
    command = shlex.join(words)
    if manifest.rerank is not None:
        chosen = (weights or {}).get(VECTORS, manifest.rerank.weight)
        weight = weight_to_configure(manifest.rerank, chosen)
        if weight is not None:
            command += f" && indexer configure NEW.winnow --rerank {weight:g}"
    return command


def _expression(
    part: PartEntry, chosen: K1B | None = None, weights: Weights | None = None
) -> PartExpression:
    argument = part.encoder.argument
    if chosen is not None:
        kept = (item.strip() for item in (argument or "").split(","))
        others = [item for item in kept if item and item.split("=")[0].strip() not in K1B._fields]
        argument = ",".join([*others, f"k1={chosen.k1:g}", f"b={chosen.b:g}"])
    weight = (weights or {}).get(part.name, part.weight)
    # As it was written, so that the part keeps its name: the entry has the name of the encoder that
    # was made, such as splade-onnx of splade:DIR.
    written = (part.name, re.sub(r"-\d+$", "", part.name), part.encoder.name)
    name = next(name for name in written if name in encoder_names() or name == written[-1])
    return PartExpression(weight, name, argument)
