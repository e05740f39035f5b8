"""Runs the engines of one data set against each other and adds the figures up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine.across import Medians
from benchmarks.engine.child import Child, Engine, EngineError, build
from benchmarks.engine.lucene import LuceneNotFoundError
from benchmarks.engine.oracle import Oracle
from benchmarks.engine.statistics import bootstrap_ratio, latencies, per_query_medians
from kernels.cpu.processors import usable_cpus
from retriever.query import QueryTerm, integer_query

COMPARED = 1_000
"""Answers to so many queries are compared with the oracle's; all are timed."""


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        engines: The engines.
        ks: Numbers of hits.
        questions: ``standard`` or ``tail``.
        queries: How many of them.
        passes: Passes over the queries, interleaved between the engines.
    """

    engines: Sequence[Engine]
    ks: Sequence[int] = (10, 100, 1000)
    questions: str = "standard"
    queries: int = 1000
    passes: int = 5


def compare(
    folder: Path,
    work: Path,
    plan: Plan,
    *,
    build_only: bool = False,
    medians: Medians | None = None,
) -> dict[str, Any]:
    """Builds what is missing, then measures; returns everything that the tables show.

    The figures of single queries are added to ``medians``.
    """
    description = json.loads((folder / "description.json").read_text())
    content = json.loads((folder / f"{plan.questions}.json").read_text())
    queries = {name: values[: plan.queries] for name, values in content.items()}
    if "weights" in queries:
        queries["integers"] = [_integers(weights) for weights in queries["weights"]]
    asked = folder / "asked.json"
    asked.write_text(json.dumps(queries))
    missing: dict[str, str] = {}
    children: dict[str, Child] = {}
    for engine in plan.engines:
        if description["kind"] not in engine.kinds:
            continue
        try:
            request = request_for(folder, description, engine, asked)
            build(engine, work, request)
            if not build_only:
                children[engine.name] = Child(engine, work, request)
        except (EngineError, LuceneNotFoundError) as error:
            missing[engine.name] = str(error)
            print(f"{engine.name}: left out: {error}", flush=True)
    result: dict[str, Any] = {
        "documents": description["documents"],
        "postings": description["postings"],
        "terms_per_document": description["terms_per_document"],
        "terms_per_query": _mean([len(tokens) for tokens in queries["tokens"]]),
        "postings_per_query": _mean(queries["postings"]),
        "flops": _mean(queries["postings"]) / description["documents"],
        "queries": len(queries["strings"]),
        "passes": plan.passes,
        "missing": missing,
    }
    if build_only:
        return result
    kept = {} if medians is None else medians
    result["k"] = {
        str(k): _measure(children, folder, description, queries, k, plan, kept) for k in plan.ks
    }
    result["kind"] = description["kind"]
    result["engines"] = {name: child.ask("info") for name, child in children.items()}
    for child in children.values():
        child.close()
    return result


def _integers(weights: Sequence[float]) -> list[int]:
    """Query weights as Winnow's own queries round them, for impacts of a common scale."""
    terms = [QueryTerm("", "", weight, 1.0, ()) for weight in weights]
    integers: list[int] = integer_query(terms).weights.tolist()
    return integers


def request_for(
    folder: Path, description: dict[str, Any], engine: Engine, asked: Path
) -> dict[str, Any]:
    """What an engine is told of the data set of ``folder`` and the questions in ``asked``."""
    names = {"rows": "rows.npz", "rows_bin": "rows.bin", "columns": "columns.npz"}
    names |= {"tokens": "tokens.txt", "texts": "texts.jsonl", "vocabulary": "vocabulary.txt"}
    return {
        **description,
        **{key: str((folder / name).resolve()) for key, name in names.items()},
        "queries": str(asked.resolve()),
        "folder": str(engine.folder(folder).resolve()),
        "options": dict(engine.options),
    }


def _measure(
    children: dict[str, Child],
    folder: Path,
    description: dict[str, Any],
    queries: dict[str, list[Any]],
    k: int,
    plan: Plan,
    kept: Medians,
) -> list[dict[str, Any]]:
    cells = [(child, cell) for child in children.values() for cell in child.cells]
    agreement = {}
    if description["kind"] == "impacts":
        answers = {
            f"{child.engine.name} {cell}": child.ask("results", cell=cell, k=k, limit=COMPARED)[
                "results"
            ]
            for child, cell in cells
        }
        oracle = Oracle(folder, description["documents"])
        first = {name: values[:COMPARED] for name, values in queries.items()}
        agreement = oracle.compare(first, k, answers)
    passes: list[list[list[int]]] = [[] for _ in cells]
    for number in range(1, plan.passes + 1):
        for runs, (child, cell) in zip(passes, cells, strict=True):
            runs.append(child.ask("pass", cell=cell, k=k)["times"])
        print(f"{folder.name}, k = {k}: pass {number} of {plan.passes}", flush=True)
    cores = usable_cpus()
    medians = [per_query_medians(runs) for runs in passes]
    ours = {
        child.cells[cell]["boundary"]: times
        for times, (child, cell) in zip(medians, cells, strict=True)
        if child.engine.name.startswith("winnow") and not child.cells[cell]["setting"]
    }
    measured = []
    for times, (child, cell) in zip(medians, cells, strict=True):
        seconds = child.ask("throughput", cell=cell, k=k, threads=cores)["seconds"]
        boundary = child.cells[cell]["boundary"]
        kept[str(k), f"{child.engine.name} {child.cells[cell]['setting']}".strip(), boundary] = (
            times
        )
        rival = not child.engine.name.startswith("winnow") and boundary in ours
        measured.append(
            {
                "engine": child.engine.name,
                "setting": child.cells[cell]["setting"],
                "boundary": boundary,
                **latencies(times),
                "per_second_one_core": 1e6 / float(times.mean()),
                "per_second_all_cores": len(times) / seconds,
                "cores": cores,
                "ns_per_posting": 1000 * float(times.mean()) / _mean(queries["postings"]),
                "winnow_ratio": bootstrap_ratio(ours[boundary], times) if rival else None,
                **agreement.get(f"{child.engine.name} {cell}", {}),
            }
        )
    return measured


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
