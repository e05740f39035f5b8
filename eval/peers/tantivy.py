"""BM25 of tantivy, in a process of its own: ``python -m eval.peers.tantivy REQUEST``.

Settings: the ``en_stem`` tokenizer (words, at most 40 bytes, lower case, English stemmer; stop
words are kept), one segment written by one thread. tantivy's k1 = 1.2 and b = 0.75 are fixed.

Needs nothing but the standard library and tantivy, so that the interpreter of any environment
can run this file by its path (with ``-P``, or it would take itself for the tantivy it imports).
The protocol is described in ``eval.peers.process``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

WRITER_BYTES = 256 * 1024 * 1024


def main(request_file: str) -> int:
    """Answers a request; returns the exit status, 3 when tantivy is not installed."""
    if importlib.util.find_spec("tantivy") is None:
        sys.stderr.write(
            f"tantivy: not installed in {sys.executable}, to install: pip install tantivy\n"
        )
        return 3
    from tantivy import (
        Document,
        Filter,
        Index,
        Occur,
        Query,
        SchemaBuilder,
        TextAnalyzerBuilder,
        Tokenizer,
    )

    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    documents = read_jsonl(Path(request["documents"]))
    queries = read_jsonl(Path(request["queries"]))

    started = time.perf_counter()
    builder = SchemaBuilder()
    builder.add_integer_field("number", fast=True)
    builder.add_text_field("contents", tokenizer_name="en_stem", index_option="freq")
    schema = builder.build()
    rankings = []
    with tempfile.TemporaryDirectory(prefix="tantivy-") as folder:
        index = Index(schema, path=folder)
        writer = index.writer(WRITER_BYTES, num_threads=1)
        for number, document in enumerate(documents):
            writer.add_document(Document(number=number, contents=document["contents"]))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        searcher = index.searcher()
        indexed = time.perf_counter()

        # Queries are analysed as `en_stem` analyses documents and joined by "or": the query
        # parser would take their punctuation and words such as "and" and "not" for operators.
        analyzer = (
            TextAnalyzerBuilder(Tokenizer.simple())
            .filter(Filter.remove_long(40))
            .filter(Filter.lowercase())
            .filter(Filter.stemmer("english"))
            .build()
        )
        for query in queries:
            clauses = [
                (Occur.Should, Query.term_query(schema, "contents", word, index_option="freq"))
                for word in analyzer.analyze(query["text"])
            ]
            found = searcher.search(Query.boolean_query(clauses), request["k"], count=False).hits
            numbers = searcher.fast_field_values("number", [address for _, address in found])
            rankings.append(
                [
                    (documents[number]["id"], score)
                    for number, (score, _) in zip(numbers, found, strict=True)
                ]
            )
        searched = time.perf_counter()

    with Path(request["run"]).open("w", encoding="utf-8") as file:
        for query, ranking in zip(queries, rankings, strict=True):
            file.write(json.dumps({"query_id": query["id"], "ranking": ranking}) + "\n")
    report = {
        "settings": {"k1": 1.2, "b": 0.75, "tokenizer": "en_stem", "index_option": "freq"},
        "versions": {"tantivy": version("tantivy")},
        "notes": ["k1 = 1.2 and b = 0.75, which tantivy fixes; en_stem keeps stop words"],
        "build_seconds": indexed - started,
        "search_seconds": searched - indexed,
    }
    Path(request["report"]).write_text(json.dumps(report), encoding="utf-8")
    return 0


def read_jsonl(path: Path) -> list[dict[str, str]]:
    """The records of a JSON lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
