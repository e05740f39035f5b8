r"""What dense search costs beside the default space: encoding, bytes, query time.

A sentence-embedding model (all-MiniLM-L6-v2 is the one meant) encodes documents in batches on
all cores, and questions one at a time on one thread; faiss answers with the exact inner product
(``IndexFlatIP``), k=10, one thread. The documents are those of ``benchmarks.encoding_speed``, and
their vectors are repeated to ``--documents``: the time of an exact scan does not depend on what the
vectors are.

    python -m benchmarks.dense_peer --data ../shared/data --dense all-minilm-l6-v2 \\
        --documents 100000 -o benchmarks/results/dense_peer.json
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.encoding_speed import read_texts
from benchmarks.engine.statistics import latencies, per_query_medians
from benchmarks.engine.texts import read_questions
from benchmarks.reporting import markdown_table, write_result
from kernels.cpu.processors import usable_cpus

K = 10
NO_CACHE = Path("no cache: every text is encoded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--dense", type=Path, required=True, help="directory of the model")
    parser.add_argument("--documents", type=int, default=557_328)
    parser.add_argument("--encoded", type=int, default=200)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=256, help="tokens read of a document")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()

    import faiss
    import torch

    from encoders.training.dense_teacher import DenseTeacher

    texts = read_texts(arguments.data, arguments.encoded)
    questions = read_questions(arguments.data)["wiki"][: arguments.questions]
    model = DenseTeacher(arguments.dense, NO_CACHE, arguments.max_length)
    torch.set_num_threads(usable_cpus())
    model.encode(texts[:50])
    started = time.perf_counter()
    vectors = model.encode(texts).astype(np.float32)
    per_second = len(texts) / (time.perf_counter() - started)
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    for start in range(0, arguments.documents, len(vectors)):
        index.add(vectors[: arguments.documents - start])
    encoding: list[list[int]] = []
    scanning: list[list[int]] = []
    for _ in range(arguments.passes):
        encoding.append([])
        scanning.append([])
        for question in questions:
            begin = time.perf_counter_ns()
            query = model.encode([question]).astype(np.float32)
            middle = time.perf_counter_ns()
            index.search(query, K)
            encoding[-1].append(middle - begin)
            scanning[-1].append(time.perf_counter_ns() - middle)
    found = {
        "encoding the question": latencies(per_query_medians(encoding)),
        "exact scan": latencies(per_query_medians(scanning)),
    }
    columns = list(next(iter(found.values())))
    rows = [[name, *(f"{row[column]:,.0f}" for column in columns)] for name, row in found.items()]
    print(
        f"{index.ntotal:,} vectors of {vectors.shape[1]} dimensions, {per_second:.0f} documents/s"
    )
    print(markdown_table(["step", *columns], rows))
    write_result(
        arguments.output,
        {
            "documents": index.ntotal,
            "documents_per_second": per_second,
            "bytes_per_document": 4 * vectors.shape[1],
            "faiss": faiss.__version__,
            "latency": found,
        },
    )


if __name__ == "__main__":
    main()
