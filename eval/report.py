"""Results and comparisons as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eval.compare import Comparison
from eval.errors import ResultsError
from eval.results import DECIMALS, Result, Results

if TYPE_CHECKING:
    from eval.halves import ChosenOnHalf
    from eval.tune import Tuning

_NO_FIGURE = "–"


def results_table(results: Results) -> str:
    """One table for each measure, a row per collection and a column per system, then notes.

    The best figure of a row is bold. The last row of several holds the mean over collections,
    for systems that have a figure on each.
    """
    lines: list[str] = []
    for measure in results.measures:
        lines += [f"### {measure}", "", *_measure_table(results.results, measure), ""]
    lines += ["### Times", "", *_times_table(results.results), ""]
    lines += [f"- {note}" for note in _notes(results)]
    return "\n".join(lines) + "\n"


def comparison_table(rows: Sequence[Comparison], name_a: str, name_b: str) -> str:
    """A row per collection and measure; p-values adjusted by Holm stand in brackets."""
    heading = ["collection", "measure", "queries", "A", "B", "A − B", "95% interval"]
    heading += ["wins/ties/losses", "t-test p (Holm)", "randomisation p (Holm)"]
    rule = "|---|---|--:|--:|--:|--:|---|---|---|---|"
    lines = [f"A: {name_a}", "", f"B: {name_b}", "", _row(heading), rule]
    for row in rows:
        cells = [
            row.collection,
            row.measure,
            str(row.queries),
            f"{row.mean_a:.{DECIMALS}f}",
            f"{row.mean_b:.{DECIMALS}f}",
            f"{row.difference:+.{DECIMALS}f}",
            f"[{row.low:+.{DECIMALS}f}, {row.high:+.{DECIMALS}f}]",
            f"{row.wins}/{row.ties}/{row.losses}",
            f"{_p(row.t_test)} ({_p(row.t_test_holm)})",
            f"{_p(row.randomisation)} ({_p(row.randomisation_holm)})",
        ]
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def tuning_table(tuning: Tuning) -> str:
    """The weights of each part, what they do on either half of the queries, and all trials."""
    parts = list(tuning.present)
    lines = [
        f"Space {tuning.space}, {tuning.split} judgements of {tuning.collection}: {tuning.measure}",
        "",
        _row(["part", "present weight", "chosen weight"]),
        "|---|--:|--:|",
        *(_row([part, f"{tuning.present[part]:g}", f"{tuning.chosen[part]:g}"]) for part in parts),
        "",
        *halves_table(tuning),
    ]
    lines += ["", _row([f"weight of {part}" for part in parts] + [tuning.measure])]
    lines.append("|--:" * (len(parts) + 1) + "|")
    trials = sorted(tuning.trials, key=lambda trial: list(trial.weights.values()))
    figures = _bold_best([trial.value for trial in trials])
    for trial, figure in zip(trials, figures, strict=True):
        lines.append(_row([*(f"{trial.weights[part]:g}" for part in parts), figure]))
    if tuning.notes:
        lines += ["", *(f"- {note}" for note in tuning.notes)]
    return "\n".join(lines) + "\n"


def halves_table(tuning: ChosenOnHalf[Any]) -> list[str]:
    """Lines of what chosen settings do on either half of the queries."""
    lines = [
        _row(["queries", "number", "present", "chosen", "difference", "95% interval"]),
        "|---|--:|--:|--:|--:|---|",
    ]
    for name, row in (("chosen on", tuning.choosing), ("held back", tuning.held_back)):
        cells = [
            name,
            str(row.queries),
            f"{row.mean_b:.{DECIMALS}f}",
            f"{row.mean_a:.{DECIMALS}f}",
            f"{row.difference:+.{DECIMALS}f}",
            f"[{row.low:+.{DECIMALS}f}, {row.high:+.{DECIMALS}f}]",
        ]
        lines.append(_row(cells))
    return lines


def merge_results(several: Sequence[Results]) -> Results:
    """One set of results from several, for one table.

    The command lines are joined; ``created`` is the latest.

    Raises:
        ResultsError: They were made under different protocols or on different machines, or two
            of them have the same system on the same collection.
    """
    first = several[0]
    seen: set[tuple[str, str]] = set()
    for results in several:
        if (results.k, results.ignore_identical_ids) != (first.k, first.ignore_identical_ids):
            raise ResultsError("results of different k or treatment of identical ids do not mix")
        if results.machine != first.machine or results.versions != first.versions:
            raise ResultsError(
                "results of different machines or package versions do not mix in one table; "
                "report them apart"
            )
        for result in results.results:
            if (result.collection, result.system) in seen:
                raise ResultsError(
                    f"two of the files have {result.system!r} on {result.collection}; report "
                    "them apart"
                )
            seen.add((result.collection, result.system))
    return first.model_copy(
        update={
            "created": max(results.created for results in several),
            "command": "; ".join(results.command for results in several),
            "measures": _unique([m for results in several for m in results.measures]),
            "results": [result for results in several for result in results.results],
        }
    )


def _measure_table(results: Sequence[Result], measure: str) -> list[str]:
    systems = _unique([result.system for result in results])
    collections = _unique([result.collection for result in results])
    by_place = {(result.collection, result.system): result for result in results}
    lines = [
        _row(["collection", "split", "queries", *systems]),
        "|---|---|--:|" + "--:|" * len(systems),
    ]
    columns: list[list[float | None]] = [[] for _ in systems]
    for collection in collections:
        row = [by_place.get((collection, system)) for system in systems]
        some = next(result for result in row if result is not None)
        values = [result.measures.get(measure) if result else None for result in row]
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        cells = _bold_best(values)
        for position, result in enumerate(row):
            if result is not None and result.status != "ok":
                cells[position] = result.status
        lines.append(_row([collection, some.split, str(some.queries), *cells]))
    if len(collections) > 1:
        means = []
        for column in columns:
            figures = [value for value in column if value is not None]
            complete = len(figures) == len(collections)
            means.append(math.fsum(figures) / len(figures) if complete else None)
        lines.append(_row(["mean", "", "", *_bold_best(means)]))
    return lines


def _times_table(results: Sequence[Result]) -> list[str]:
    caution = (
        "Query text in, document ids out; one pass, one thread, systems not interleaved: an "
        "indication, not a benchmark."
    )
    lines = [
        caution,
        "",
        "| collection | system | indexing, s | searching, ms per query |",
        "|---|---|--:|--:|",
    ]
    for result in results:
        if result.status == "ok":
            build, search = result.build_seconds, result.search_seconds
            searched = result.queries - len(result.queries_without_text)
            cells = [
                result.collection,
                result.system,
                _NO_FIGURE if build is None else f"{build:.1f}",
                _NO_FIGURE if search is None else f"{1000 * search / max(searched, 1):.2f}",
            ]
            lines.append(_row(cells))
    return lines


def _notes(results: Results) -> list[str]:
    notes = []
    for result in results.results:
        where = f"{result.system} on {result.collection}"
        if result.status != "ok":
            notes.append(f"{where} {result.status}: {result.reason}")
        if result.missing_queries:
            shown = ", ".join(result.missing_queries[:5])
            more = ", ..." if len(result.missing_queries) > 5 else ""
            notes.append(
                f"{where}: {len(result.missing_queries)} judged queries without any document "
                f"count as 0: {shown}{more}"
            )
    for collection in _unique([result.collection for result in results.results]):
        removed = max(
            result.identical_ids_judged_relevant
            for result in results.results
            if result.collection == collection
        )
        if removed:
            notes.append(
                f"{collection}: {removed} documents removed for having the query's id are judged "
                "relevant; if queries and documents were numbered apart, use --keep-identical-ids"
            )
    for system in _unique([result.system for result in results.results]):
        of_system = [r for r in results.results if r.system == system and r.status == "ok"]
        for described in _unique([_describe(result) for result in of_system]):
            notes.append(f"{system}: {described}")
    identical = (
        "documents with the query's own id removed (BEIR)"
        if results.ignore_identical_ids
        else "documents with the query's own id kept"
    )
    notes.append(f"Protocol: all judged queries, k = {results.k}, {identical}")
    machine = results.machine
    busy = results.load is not None and results.load > machine.cores
    notes.append(
        f"Machine: {machine.cpu}, {machine.instruction_set}, {machine.cores} cores, Python "
        f"{machine.python}, {machine.system}"
        + (f"; busy (load {results.load}), which distorts times" if busy else "")
    )
    notes.append("Versions: " + ", ".join(f"{n} {v}" for n, v in results.versions.items()))
    notes.append(f"Command: `{results.command}`")
    return notes


def _describe(result: Result) -> str:
    settings = ", ".join(f"{name} = {value}" for name, value in result.settings.items())
    versions = ", ".join(f"{name} {value}" for name, value in result.versions.items())
    return "; ".join(part for part in (settings, versions, *result.notes) if part) or "no settings"


def _bold_best(values: Sequence[float | None]) -> list[str]:
    figures = [value for value in values if value is not None]
    best = max(figures) if len(figures) > 1 else None
    cells = []
    for value in values:
        text = _NO_FIGURE if value is None else f"{value:.{DECIMALS}f}"
        cells.append(f"**{text}**" if value is not None and value == best else text)
    return cells


def _p(value: float) -> str:
    return _NO_FIGURE if math.isnan(value) else f"{value:.4f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _unique(items: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(items))
