"""A query log: what people asked, one query a line, without anything that answers it."""

from __future__ import annotations

from pathlib import Path

from eval.datasets.files import open_text
from eval.errors import DatasetError


def read_query_log(path: Path) -> list[str]:
    """The different queries of a log in the order in which they come; blank lines are dropped.

    Args:
        path: UTF-8 text, compressed or not.

    Raises:
        DatasetError: The file cannot be read, or holds no query.
    """
    with open_text(path) as lines:
        queries = list(dict.fromkeys(query for line in lines if (query := line.strip())))
    if not queries:
        raise DatasetError(f"{path} holds no query; give one a line")
    return queries
