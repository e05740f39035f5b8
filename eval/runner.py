"""Runs systems over a collection and evaluates what they retrieve."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ir_measures

from encoders.errors import EncoderError
from eval.datasets.beir import Dataset
from eval.errors import EvaluationError, PeerAbsentError
from eval.measures import evaluate
from eval.per_query import write_per_query
from eval.results import DECIMALS, Result
from eval.runs import Run, without_identical_ids, write_run
from eval.systems import System
from indexer.errors import IndexerError
from retriever.errors import SearchError

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Protocol:
    """How systems are run and evaluated.

    Attributes:
        measures: What is computed.
        k: Most documents of a ranking.
        ignore_identical_ids: Whether a document whose id is the query's is removed from the
            ranking, as BEIR does.
    """

    measures: Sequence[ir_measures.Measure]
    k: int = 1000
    ignore_identical_ids: bool = True


def run_system(
    system: System,
    dataset: Dataset,
    protocol: Protocol,
    output: Path | None = None,
    progress: Progress = lambda line: None,
) -> Result:
    """Runs one system over one collection.

    A system that is absent or breaks off with one of this project's errors gives a result that
    says so, so that the others still run.

    Args:
        system: Prepared, searched and closed here.
        dataset: Documents, queries and judgements.
        protocol: How to run and evaluate.
        output: Folder for ``<collection>.<system>.run.gz`` and ``.per_query.tsv``.
        progress: Told each step in one line.

    Raises:
        MeasureError: A measure cannot be computed.
        RunFormatError: An id cannot be written into a run file.
    """
    unfinished = Result(
        collection=dataset.name,
        split=dataset.split,
        system=system.name,
        queries=len(dataset.qrels),
        queries_without_text=list(dataset.queries_without_text),
    )
    where = f"{dataset.name}: {system.name}"
    depth = protocol.k + 1 if protocol.ignore_identical_ids else protocol.k
    try:
        progress(f"{where}: preparing")
        system.prepare(dataset)
        progress(f"{where}: searching {len(dataset.queries)} queries")
        run: Run = system.search(dataset.queries, depth)
        described = system.description()
    except PeerAbsentError as error:
        progress(f"{where}: absent: {error}")
        return unfinished.model_copy(update={"status": "absent", "reason": str(error)})
    except (EvaluationError, EncoderError, IndexerError, SearchError) as error:
        progress(f"{where}: failed: {error}")
        return unfinished.model_copy(update={"status": "failed", "reason": str(error)})
    finally:
        system.close()

    affected: list[str] = []
    if protocol.ignore_identical_ids:
        run, affected = without_identical_ids(run, protocol.k)
    evaluation = evaluate(dataset.qrels, run, protocol.measures)
    files = {}
    if output is not None:
        stem = f"{dataset.name}.{file_stem(system.name)}"
        files = {"run_file": f"{stem}.run.gz", "per_query_file": f"{stem}.per_query.tsv"}
        write_run(output / files["run_file"], run, file_stem(system.name))
        write_per_query(output / files["per_query_file"], evaluation.per_query)
    if evaluation.missing:
        progress(f"{where}: {len(evaluation.missing)} queries without any document count as 0")
    return unfinished.model_copy(
        update={
            **files,
            "measures": {name: round(v, DECIMALS) for name, v in evaluation.means.items()},
            "missing_queries": list(evaluation.missing),
            "identical_ids": len(affected),
            "identical_ids_judged_relevant": sum(
                dataset.qrels.get(query_id, {}).get(query_id, 0) > 0 for query_id in affected
            ),
            "settings": dict(described.settings),
            "versions": dict(described.versions),
            "notes": list(described.notes),
            "build_seconds": described.build_seconds,
            "search_seconds": described.search_seconds,
        }
    )


def file_stem(name: str) -> str:
    """A system's name as part of a file name.

    >>> file_stem("english-bm25 + 0.5*splade:my/model")
    'english-bm25_0.5_splade_my_model'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "system"
