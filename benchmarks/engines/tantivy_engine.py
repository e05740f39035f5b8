"""tantivy BM25 over given tokens: one segment, a boolean query of terms.

Hits are numbers from a fast field, turned into ids by a list: faster than its document store.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import protocol
import tantivy


def main() -> None:
    """Arguments: folder for the index, file of documents, file of query tokens."""
    folder, documents, queries = map(Path, sys.argv[1:4])
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("number", fast=True)
    builder.add_text_field("body", tokenizer_name="ws", index_option="freq")
    schema = builder.build()
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    index = tantivy.Index(schema, path=str(folder))
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
    index.register_tokenizer("ws", analyzer)
    begin = time.perf_counter()
    if fresh:
        writer = index.writer(heap_size=3_000_000_000, num_threads=1)
        with documents.open() as file:
            for number, line in enumerate(file):
                tokens = line.rstrip("\n").partition("\t")[2]
                writer.add_document(tantivy.Document(number=number, body=tokens))
        writer.commit()
        writer.wait_merging_threads()
    seconds = time.perf_counter() - begin
    with documents.open() as file:
        ids = [line.partition("\t")[0] for line in file]
    index.reload()
    searcher = index.searcher()

    def search(tokens: list[str], k: int) -> list[str]:
        clauses = [
            (tantivy.Occur.Should, tantivy.Query.term_query(schema, "body", token, "freq"))
            for token in tokens
        ]
        hits = searcher.search(tantivy.Query.boolean_query(clauses), k, count=False).hits
        numbers = searcher.fast_field_values("number", [address for _, address in hits])
        return [ids[number] for number in numbers]

    size = sum(path.stat().st_size for path in folder.iterdir())
    info = {
        "version": version("tantivy"),
        "segments": searcher.num_segments,
        "build_seconds": seconds if fresh else None,
        "index_bytes": size,
    }
    protocol.serve(json.loads(queries.read_text()), search, info)


main()
