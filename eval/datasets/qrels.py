"""Relevance judgements (qrels) in BEIR's and in TREC's format."""

from __future__ import annotations

import re
from pathlib import Path

from eval.datasets.files import open_text
from eval.errors import DatasetError

Qrels = dict[str, dict[str, int]]
"""``qrels[query_id][doc_id]`` is the relevance: 0 for judged and not relevant."""

_WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")

_COLUMN_NAMES = (
    {"query-id", "query", "qid", "q-id", "topic"},
    {"corpus-id", "doc-id", "docid", "document-id", "document", "doc", "did", "pid", "passage-id"},
    {"score", "relevance", "rel", "label", "grade", "judgement", "judgment"},
)


def read_qrels(path: Path) -> Qrels:
    """Reads a qrels file, compressed or not; the format is found from its lines.

    * BEIR: three columns ``query_id doc_id relevance`` divided by tabs, with or without a
      header line, which may name the columns in another order;
    * TREC: four columns ``query_id iteration doc_id relevance`` divided by white space.

    Raises:
        DatasetError: A line is of neither format, a relevance is not a whole number, a pair
            has two different judgements, or the file holds no judgement at all.
    """
    qrels: Qrels = {}
    order: tuple[int, ...] = (0, 1, 2)
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            columns = _columns(line)
            if len(columns) != 3:
                raise DatasetError(
                    f"{path}, line {number}: expected 'query_id<TAB>doc_id<TAB>relevance' or the "
                    f"four columns of TREC qrels, got {line.rstrip()!r}"
                )
            if number == 1 and (named := _header(line)):
                order = named
                continue
            query_id, doc_id, relevance = (columns[place] for place in order)
            if not _WHOLE_NUMBER.fullmatch(relevance):
                raise DatasetError(
                    f"{path}, line {number}: the relevance must be a whole number, got "
                    f"{relevance!r}"
                )
            grade = int(float(relevance))
            judged = qrels.setdefault(query_id, {})
            if judged.setdefault(doc_id, grade) != grade:
                raise DatasetError(
                    f"{path}, line {number}: query {query_id!r} and document {doc_id!r} are "
                    f"judged {grade} here and {judged[doc_id]} before; keep one of the lines"
                )
    if not qrels:
        raise DatasetError(f"{path} holds no judgement")
    return qrels


def _header(line: str) -> tuple[int, ...] | None:
    """Which columns of a BEIR file hold query, document and relevance, if a line names them.

    Names that are not known stand in the usual order, unless the last one may be a relevance.
    """
    names = [column.strip() for column in line.split("\t" if "\t" in line else None)]
    if len(names) != 3:
        return None
    plain = [name.lower().replace("_", "-") for name in names]
    places = [next((i for i, n in enumerate(plain) if n in known), -1) for known in _COLUMN_NAMES]
    if sorted(places) == [0, 1, 2]:
        return tuple(places)
    return (0, 1, 2) if names[2] and names[2][0] not in "+-.0123456789" else None


def _columns(line: str) -> list[str]:
    by_tab = [column.strip() for column in line.split("\t")]
    if len(by_tab) == 3:
        return by_tab
    columns = line.split()
    if len(columns) == 4:
        return [columns[0], columns[2], columns[3]]
    return columns
