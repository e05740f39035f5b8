"""Data sets in the form that engines read: one folder each, made once.

Of vectors (``kind`` "impacts"):

* ``rows.npz``: indptr, dimensions, impacts; and the token counts of the text, for idf;
* ``rows.bin``: the same for programs in other languages: uint32 n; per row uint32 nnz,
  uint32 dimensions, float32 impacts;
* ``columns.npz``: start int64[V + 1], rows int32, impacts uint8, by dimension.

Of text (``kind`` "text"): ``tokens.txt``, one record a line, analysed; ``texts.jsonl``.

``standard.json`` and ``tail.json`` have, for each question, ``strings``, ``tokens`` and
``postings`` (how many its terms have); for vectors also ``dimensions`` and ``weights`` (idf). Ids
are record numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from encoders.query.analyzer import Analyzer
from encoders.query.idf import idf
from encoders.query.tokenizer import WordPieceTokenizer

Questions = Mapping[str, Sequence[str]]
Rows = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[Any]]


def write_vectors(
    folder: Path, rows: Rows, counts: Rows, tokenizer_json: bytes, questions: Questions
) -> None:
    """Writes a data set of impacts.

    Args:
        folder: Where.
        rows: indptr, dimensions, impacts uint8 of the records.
        counts: indptr, dimensions, counts of the tokens in their text.
        tokenizer_json: Makes tokens of questions; its ids are the dimensions.
        questions: As people typed them, by the name of their file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_bytes(tokenizer_json)
    tokenizer = WordPieceTokenizer(tokenizer_json)
    size, total = tokenizer.vocab_size, len(rows[0]) - 1
    vocabulary = tokenizer.tokens()
    (folder / "vocabulary.txt").write_text("".join(f"{term}\n" for term in vocabulary))
    names = ("indptr", "dimensions", "impacts", "count_indptr", "count_dimensions", "counts")
    arrays: dict[str, NDArray[Any]] = dict(zip(names, (*rows, *counts), strict=True))
    np.savez(folder / "rows.npz", allow_pickle=False, **arrays)
    _write_binary_rows(folder / "rows.bin", *rows)
    matrix = sp.csr_matrix((rows[2], rows[1].astype(np.int32), rows[0]), (total, size)).tocsc()
    start = matrix.indptr.astype(np.int64)
    np.savez(folder / "columns.npz", start=start, rows=matrix.indices, impacts=matrix.data)
    text_idf = idf(total, np.bincount(counts[1], minlength=size))
    for name, strings in questions.items():
        queries: dict[str, list[Any]] = {"strings": list(strings), "tokens": [], "dimensions": []}
        queries |= {"weights": [], "postings": []}
        for string in strings:
            found = dict.fromkeys(tokenizer.ids(string))
            ids = [i for i in found if i not in tokenizer.special_ids]
            weights = [float(text_idf[i]) for i in ids]
            queries["tokens"].append([vocabulary[i] for i in ids])
            queries["dimensions"].append(ids)
            queries["weights"].append(weights)
            queries["postings"].append(int(np.diff(start)[ids].sum()))
        (folder / f"{name}.json").write_text(json.dumps(queries))
    _describe(folder, "impacts", total, size, len(rows[1]))


def write_texts(
    folder: Path, texts: Sequence[str], analyzer: Analyzer, questions: Questions
) -> None:
    """Writes a data set of text, analysed for the engines that start from tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    doc_freq: Counter[str] = Counter()
    with (folder / "tokens.txt").open("w") as tokens, (folder / "texts.jsonl").open("w") as file:
        for text in texts:
            row = analyzer.tokens(text)
            doc_freq.update(set(row))
            tokens.write(f"{' '.join(row)}\n")
            file.write(json.dumps(text) + "\n")
    for name, strings in questions.items():
        asked = [list(dict.fromkeys(analyzer.tokens(string))) for string in strings]
        postings = [sum(doc_freq[token] for token in row) for row in asked]
        content = {"strings": list(strings), "tokens": asked, "postings": postings}
        (folder / f"{name}.json").write_text(json.dumps(content))
    _describe(folder, "text", len(texts), len(doc_freq), doc_freq.total(), analyzer.name)


def _describe(
    folder: Path, kind: str, total: int, size: int, postings: int, analyzer: str = "wordpiece"
) -> None:
    queries = json.loads((folder / "standard.json").read_text())
    description = {
        "kind": kind,
        "analyzer": analyzer,
        "documents": total,
        "dimensions": size,
        "postings": postings,
        "terms_per_document": postings / max(1, total),
        "terms_per_query": float(np.mean([len(tokens) for tokens in queries["tokens"]])),
        "flops": float(np.mean(queries["postings"])) / max(1, total),
    }
    (folder / "description.json").write_text(json.dumps(description, indent=1))
    print(folder.name, description, flush=True)


def _write_binary_rows(
    path: Path,
    indptr: NDArray[np.int64],
    dimensions: NDArray[np.uint32],
    impacts: NDArray[np.uint8],
) -> None:
    """Blocks of rows at a time: sizes, dimensions and values put into one array of words."""
    with path.open("wb") as file:
        np.array([len(indptr) - 1], dtype="<u4").tofile(file)
        for first in range(0, len(indptr) - 1, 10_000):
            part = indptr[first : first + 10_001]
            sizes = np.diff(part)
            starts = np.concatenate([[0], np.cumsum(2 * sizes + 1)])
            words = np.empty(starts[-1], dtype="<u4")
            words[starts[:-1]] = sizes
            inside = np.arange(part[-1] - part[0]) - np.repeat(part[:-1] - part[0], sizes)
            at = np.repeat(starts[:-1] + 1, sizes) + inside
            words[at] = dimensions[part[0] : part[-1]]
            values = impacts[part[0] : part[-1]].astype("<f4").view("<u4")
            words[at + np.repeat(sizes, sizes)] = values
            words.tofile(file)
