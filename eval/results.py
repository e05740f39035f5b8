"""Results of an evaluation as they stand in ``results.json``."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eval.errors import ResultsError
from eval.machine import Machine
from eval.systems import Setting

FILE_NAME = "results.json"
DECIMALS = 5
"""Measures are rounded as BEIR rounds them."""


class Result(BaseModel):
    """One system on one collection.

    Attributes:
        status: ``absent`` for a peer that is not installed; ``failed`` for a system that broke
            off. Both have a ``reason`` and no measures.
        queries: Number of judged queries, all of which count.
        missing_queries: Judged queries for which nothing was retrieved; they count as 0.
        queries_without_text: Those of them that the collection has no text for.
        identical_ids: Queries from whose ranking a document of the query's own id was removed.
        identical_ids_judged_relevant: Those whose removed document is judged relevant. In
            BEIR's collections there are none: one says that the ids of queries and documents
            were numbered apart.
        build_seconds: Time of indexing, ``None`` for a finished index.
        search_seconds: Time of searching all queries, one thread.
        run_file: Name of the TREC run file, in the folder of the results file.
        per_query_file: Name of the per-query file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    collection: str
    split: str
    system: str
    status: Literal["ok", "absent", "failed"] = "ok"
    reason: str | None = None
    queries: int
    measures: dict[str, float] = Field(default_factory=dict)
    missing_queries: list[str] = Field(default_factory=list)
    queries_without_text: list[str] = Field(default_factory=list)
    identical_ids: int = 0
    identical_ids_judged_relevant: int = 0
    settings: dict[str, Setting] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    build_seconds: float | None = None
    search_seconds: float | None = None
    run_file: str | None = None
    per_query_file: str | None = None


class Results(BaseModel):
    """All systems on all collections of one command.

    Attributes:
        load: Processes that wanted to run when the command started (one-minute load average);
            times say little when it exceeds the number of cores. ``None`` where not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    created: datetime.datetime
    command: str
    k: int
    ignore_identical_ids: bool
    measures: list[str]
    machine: Machine
    load: float | None = None
    versions: dict[str, str]
    results: list[Result]


def write_results(path: Path, results: Results) -> None:
    """Writes a results file, replacing it whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(results.model_dump_json(indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)


def read_results(path: Path) -> Results:
    """Reads a results file, or the one in a folder.

    Raises:
        ResultsError: There is none, or it is not a results file.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return Results.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{file} cannot be read: {error.strerror}") from error
    except (ValidationError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[:3]
        raise ResultsError(
            f"{file} is not a results file of 'python -m eval run': {' '.join(first)}"
        ) from error
