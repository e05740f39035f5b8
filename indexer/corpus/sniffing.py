"""The format of a stream without a telling name, from how it begins."""

from __future__ import annotations

from indexer.corpus.delimited import sniff_delimiter
from indexer.corpus.mapping import CANDIDATE_NAMES
from indexer.corpus.options import CorpusFormat

_MAGIC = {
    b"PAR1": CorpusFormat.PARQUET,
    b"ARROW1": CorpusFormat.ARROW,
    b"\xff\xff\xff\xff": CorpusFormat.ARROW,
    b"{": CorpusFormat.JSONL,
    b"[": CorpusFormat.JSONL,
}


def sniff_format(head: bytes) -> CorpusFormat | None:
    """The format that a stream beginning so has; ``None`` if that is not clear.

    A table must name a field that may be identifier, title or text.

    >>> sniff_format(b"id;text")
    <CorpusFormat.CSV: 'csv'>
    """
    begin = head.lstrip()
    if not begin:
        return CorpusFormat.JSONL
    for magic, kind in _MAGIC.items():
        if begin.startswith(magic):
            return kind
    delimiter = sniff_delimiter(begin)
    header = begin.split(b"\n", 1)[0].decode("utf-8", "replace").split(delimiter)
    names = {cell.strip().strip('"').lower() for cell in header}
    if len(header) < 2 or names.isdisjoint(CANDIDATE_NAMES):
        return None
    return CorpusFormat.TSV if delimiter == "\t" else CorpusFormat.CSV
