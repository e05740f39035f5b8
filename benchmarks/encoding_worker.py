"""One engine in a process of its own: encodes the texts whenever a line comes in.

Every answer is one line of JSON: the seconds of a pass, or, before the first pass and at the end of
the input, the peak of resident memory. The engine ``rate`` multiplies matrices instead.

    python -m benchmarks.encoding_worker ENGINE DIRECTORY TEXTS.json
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from encoders.base import Document

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def matrix_rate(depth: int) -> float:
    """Highest rate of torch's float32 product of states with a block of the vocabulary, GFLOP/s.

    The highest of several sizes, all threads in one product, into memory that is there already.
    """
    import torch

    torch.set_num_threads(THREADS)
    best = 0.0
    for tokens, entries in ((512, 512), (512, 4096), (2048, 2048)):
        states, weights = torch.randn(tokens, depth), torch.randn(depth, entries)
        result = torch.empty(tokens, entries)
        torch.mm(states, weights, out=result)
        seconds = []
        for _ in range(9):
            started, count = time.perf_counter(), 0
            while count < 3 or time.perf_counter() - started < 0.02:
                torch.mm(states, weights, out=result)
                count += 1
            seconds.append((time.perf_counter() - started) / count)
        best = max(best, 2 * tokens * depth * entries / float(np.median(seconds)) / 1e9)
    return best


def peer(directory: str, texts: list[str], batch: int) -> Callable[[], Any]:
    """sentence-transformers' SparseEncoder with its defaults, but for the size of a batch."""
    import torch
    from sentence_transformers import SparseEncoder

    torch.set_num_threads(THREADS)
    encoder = SparseEncoder(directory, device="cpu")
    return lambda: encoder.encode_document(texts, batch_size=batch)


def ours(directory: str, texts: list[str]) -> Callable[[], Any]:
    """Winnow's encoder; the directory decides the engine."""
    from encoders.registry import create_encoder

    if not (Path(directory) / "encoder.json").is_file():
        import torch

        torch.set_num_threads(THREADS)
    encoder = create_encoder("splade", directory)
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    return lambda: encoder.encode_documents(documents)


def peak_mib() -> float:
    """Peak of resident memory so far; what getrusage tells begins with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    engine, directory, file = sys.argv[1:]
    texts = json.loads(Path(file).read_text(encoding="utf-8"))
    if engine == "rate":
        for line in sys.stdin:
            print(json.dumps(matrix_rate(int(line))), flush=True)
        return
    if engine.startswith("peer:"):
        encode = peer(directory, texts, int(engine.partition(":")[2]))
    else:
        encode = ours(directory, texts)
    encode()
    print(json.dumps({"peak_mib": peak_mib()}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        encode()
        print(json.dumps(time.perf_counter() - started), flush=True)
    print(json.dumps({"peak_mib": peak_mib()}), flush=True)


if __name__ == "__main__":
    main()
