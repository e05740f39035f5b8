"""Vectors of a genuine SPLADE checkpoint, encoded by the project's own encoder, in parts.

    python -m benchmarks.engine.splade_tiny --data DATA --work WORK --checkpoint DIR

``DIR`` holds a checkpoint or what ``indexer export-encoder`` made of it (several times as fast).
Every sixth passage of wiki_passages is encoded; each finished part is a file of its own, so that a
run that was cut off goes on where it stopped. The data set is made of the parts that are there.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.engine.texts import read_texts
from encoders.base import Document
from encoders.registry import create_encoder

STEP = 6
PART = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=60_000)
    arguments = parser.parse_args()
    exported = (arguments.checkpoint / "encoder.json").exists()
    encoder = create_encoder("splade-onnx" if exported else "splade", str(arguments.checkpoint))
    folder = arguments.work / "splade-tiny.parts"
    folder.mkdir(parents=True, exist_ok=True)
    texts = islice(read_texts(arguments.data, ("wiki_passages",)), 0, None, STEP)
    for number in range(-(-arguments.documents // PART)):
        documents = [Document(doc_id, text) for doc_id, text in islice(texts, PART)]
        path = folder / f"{number:04}.npz"
        if not documents or path.exists():
            continue
        rows, counts = encoder.encode_documents(documents), encoder.count_tokens(documents)
        unfinished = path.with_suffix(".partial.npz")
        np.savez(
            unfinished,
            indptr=rows.indptr,
            dimensions=rows.dimensions,
            weights=rows.weights,
            count_indptr=counts.indptr,
            count_dimensions=counts.dimensions,
            counts=counts.weights,
        )
        unfinished.rename(path)
        print(path.name, len(rows), rows.nnz / len(rows), flush=True)


if __name__ == "__main__":
    main()
