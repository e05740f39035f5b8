"""tantivy BM25 (its k1=1.2, b=0.75) over given tokens: one segment, a boolean query of terms.

Hits are numbers from a fast field: faster than its document store.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import protocol
import tantivy


def schema() -> tantivy.Schema:
    """A number and the tokens, with frequencies and without positions."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("number", fast=True)
    builder.add_text_field("body", tokenizer_name="ws", index_option="freq")
    return builder.build()


def open_tantivy(folder: Path) -> tantivy.Index:
    """The index of a folder, with the tokenizer that it needs."""
    index = tantivy.Index(schema(), path=str(folder))
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
    index.register_tokenizer("ws", analyzer)
    return index


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One writer thread with room for all, so that one segment comes out."""
    index = open_tantivy(folder)
    writer = index.writer(heap_size=3_000_000_000, num_threads=1)
    with Path(request["tokens"]).open() as file:
        for number, line in enumerate(file):
            writer.add_document(tantivy.Document(number=number, body=line.rstrip("\n")))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return {
        "version": version("tantivy"),
        "segments": index.searcher().num_segments,
        "index_bytes": protocol.folder_bytes(folder),
    }


def open_cells(request: dict[str, Any], folder: Path) -> dict[str, protocol.Cell]:
    """From words to numbers."""
    fields = schema()
    searcher = open_tantivy(folder).searcher()

    def search(tokens: list[str], k: int) -> list[int]:
        clauses = [
            (tantivy.Occur.Should, tantivy.Query.term_query(fields, "body", token, "freq"))
            for token in tokens
        ]
        hits = searcher.search(tantivy.Query.boolean_query(clauses), k, count=False).hits
        numbers: list[int] = searcher.fast_field_values("number", [a for _, a in hits])
        return numbers

    queries = json.loads(Path(request["queries"]).read_text())["tokens"]
    return {"whole": protocol.Cell("whole", search, queries)}


protocol.run(build, open_cells)
