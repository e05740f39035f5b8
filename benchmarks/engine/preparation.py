"""Makes the data sets of the benchmark from the collections, each once, in its own folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from benchmarks.engine.counts import load_counts
from benchmarks.engine.datasets import Questions, Rows, write_texts, write_vectors
from benchmarks.engine.learned import STANDARD, TAIL, prepare_learned
from benchmarks.engine.texts import (
    COLLECTIONS,
    read_questions,
    read_texts,
    standard_questions,
    tail_questions,
)
from encoders.query.analyzer import create_analyzer
from encoders.query.tokenizer import default_tokenizer_json

LEARNED = ("flops07", "flops18")
SPLADE = "splade-tiny"
TEXT = {
    "bm25-kept": ("english-all-words", COLLECTIONS),
    "bm25-removed": ("english", COLLECTIONS),
    "wiki-kept": ("english-all-words", COLLECTIONS[:1]),
    "wiki-removed": ("english", COLLECTIONS[:1]),
}
"""BM25 with stop words kept and removed: analyzer and collections."""
NAMES = (*LEARNED, SPLADE, *TEXT)
SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")


def prepare(name: str, data: Path, work: Path, window: int = 0, documents: int = 0) -> Path:
    """The folder of a data set, made if it is not there.

    Args:
        name: One of ``NAMES``.
        data: Folder of the collections.
        work: Folder for everything that is made.
        window: Cut records into runs of so many words; 0 leaves them whole.
        documents: Take so many records, evenly spread; 0 takes all.
    """
    cut = f".window{window}" if window else ""
    folder = work / f"{name}{cut}{f'@{documents}' if documents else ''}"
    if (folder / "description.json").exists():
        return folder
    found = read_questions(data)
    questions = {
        "standard": standard_questions(found, STANDARD),
        "tail": tail_questions(found, TAIL),
    }
    if name in TEXT:
        analyzer, collections = TEXT[name]
        texts = [text for _, text in read_texts(data, collections, window)]
        texts = [texts[number] for number in _spread(len(texts), documents)]
        write_texts(folder, texts, create_analyzer(analyzer), questions)
    elif name == SPLADE:
        _write_splade(folder, work, documents, questions)
    else:
        prepare_learned(data, work, window)
        with np.load(work / f"{name}{cut}.npz") as arrays:
            rows = (arrays["indptr"], arrays["dimensions"], arrays["weights"])
        counts = load_counts(work / f"counts{cut}.npz")
        chosen = _spread(len(counts.ids), documents)
        write_vectors(
            folder,
            _quantised(_take(rows, chosen)),
            _take((counts.indptr, counts.terms, counts.counts), chosen),
            word_tokenizer(counts.vocabulary),
            questions,
        )
    return folder


def word_tokenizer(words: list[str]) -> bytes:
    """A ``tokenizer.json`` of whole words: lower case, the rest of BERT's pieces unknown."""
    numbers = {word: number for number, word in enumerate([*words, *SPECIAL])}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer.to_str().encode()


def _write_splade(folder: Path, work: Path, documents: int, questions: Questions) -> None:
    parts = sorted((work / f"{SPLADE}.parts").glob("[0-9]*.npz"))
    parts = [path for path in parts if path.stem.isdecimal()]
    if not parts:
        raise SystemExit(f"no {SPLADE} vectors yet: run python -m benchmarks.engine.splade_tiny")
    loaded = [dict(np.load(path)) for path in parts]

    def joined(indptr: str, dimensions: str, values: str) -> Rows:
        lengths = np.concatenate([np.diff(part[indptr]) for part in loaded])
        return (
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([part[dimensions] for part in loaded]),
            np.concatenate([part[values] for part in loaded]),
        )

    rows = joined("indptr", "dimensions", "weights")
    chosen = _spread(len(rows[0]) - 1, documents)
    counts = _take(joined("count_indptr", "count_dimensions", "counts"), chosen)
    rows = _quantised(_take(rows, chosen))
    write_vectors(folder, rows, counts, default_tokenizer_json(), questions)


def _spread(total: int, wanted: int) -> NDArray[np.int64]:
    """``wanted`` of ``total`` record numbers, evenly spread; all for 0."""
    if wanted > total:
        raise SystemExit(f"only {total} records, not {wanted}; cut them with --window")
    return np.arange(total) if not wanted else np.arange(wanted) * total // wanted


def _take(rows: Rows, chosen: NDArray[np.int64]) -> Rows:
    indptr, dimensions, values = rows
    if len(chosen) == len(indptr) - 1:
        return rows
    lengths = np.diff(indptr)[chosen]
    taken = np.concatenate([[0], np.cumsum(lengths)])
    at = np.arange(taken[-1]) + np.repeat(indptr[chosen] - taken[:-1], lengths)
    return taken, dimensions[at], values[at]


def _quantised(rows: Rows) -> Rows:
    """Impacts on one scale for all dimensions, the largest weight as 255."""
    indptr, dimensions, weights = rows
    impacts = np.clip(np.rint(weights * (255 / weights.max())), 1, 255).astype(np.uint8)
    return indptr, dimensions, impacts
