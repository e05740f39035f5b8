"""What was found out about a corpus, for a person to check before hours are spent on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from encoders.base import Document
from indexer.corpus.options import CorpusFormat, FieldMapping
from indexer.corpus.records import FieldType

_SHOWN_NAMES = 5
_SHOWN_CHARACTERS = 100

KINDS = {
    CorpusFormat.BEIR: "BEIR corpus (queries and qrels are never indexed)",
    CorpusFormat.JSONL: "JSON lines",
    CorpusFormat.PARQUET: "Parquet",
    CorpusFormat.ARROW: "Arrow",
    CorpusFormat.CSV: "CSV",
    CorpusFormat.TSV: "TSV",
    CorpusFormat.TEXT: "text files, one document each",
}


@dataclass(frozen=True, slots=True)
class CorpusDescription:
    """Files, fields and first documents of a corpus.

    Attributes:
        source: As the user named it.
        kind: Format of the files (of the first, where Parquet and Arrow or CSV and TSV mix).
        files: Names of the files read.
        passed_over: Names of what is not read, by reason.
        mapping: Fields of identifier, title and text.
        types: Types of the metadata fields that the sample holds.
        generated_ids: Identifiers are made from file and line.
        sample: The first documents.
    """

    source: str
    kind: CorpusFormat
    files: tuple[str, ...]
    passed_over: Mapping[str, tuple[str, ...]]
    mapping: FieldMapping
    types: Mapping[str, FieldType]
    generated_ids: bool
    sample: tuple[Document, ...]

    def render(self) -> str:
        """Several lines of text, without a line break at the end."""
        mapping = self.mapping
        identifier = mapping.doc_id or ("file and line" if self.generated_ids else "none found")
        rows = [
            ("corpus", f"{self.source}: {KINDS[self.kind]}"),
            ("files", _listed(self.files)),
            *(
                ("passed over", f"{_listed(names)}: {why}")
                for why, names in self.passed_over.items()
            ),
            ("identifier", identifier),
            ("title", mapping.title or "none"),
            ("text", " + ".join(mapping.text_fields) or "none"),
            (
                "metadata",
                ", ".join(f"{name} ({kind})" for name, kind in self.types.items()) or "none",
            ),
            *(("sample", _shown(document)) for document in self.sample),
        ]
        lines = [f"{label:<12} {value}" for label, value in rows]
        return "\n".join(lines).encode("utf-8", "backslashreplace").decode()


def _listed(names: tuple[str, ...]) -> str:
    more = f", ... ({len(names):,} in all)" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def _shown(document: Document) -> str:
    words = [_cut(document.doc_id)]
    if document.title:
        words.append(_cut(document.title))
    if document.text:
        words.append(_cut(document.text))
    return " | ".join(words)


def _cut(text: str) -> str:
    # A terminal must not obey control characters of a document.
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN_CHARACTERS])
    head = " ".join(shown.split())
    if len(head) > _SHOWN_CHARACTERS:
        return head[: _SHOWN_CHARACTERS - 3] + "..."
    return head
