"""Exported encoders give the checkpoint's rows, without torch, and refuse what is damaged."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from encoders.base import Document, SparseRows
from encoders.errors import CheckpointError, EncoderError
from encoders.query.tokenizer import WordPieceTokenizer

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the [encode] extra to export a checkpoint")
pytest.importorskip("transformers", reason="needs the [encode] extra to export a checkpoint")
pytest.importorskip("onnx", reason="needs the [encode] extra to export a checkpoint")

from encoders.commands import export_encoder as command  # noqa: E402
from encoders.onnx import OnnxSpladeEncoder  # noqa: E402
from encoders.onnx_export import export_encoder  # noqa: E402
from encoders.registry import create_encoder  # noqa: E402
from encoders.splade_options import SpladeOptions  # noqa: E402

ROOT = Path(__file__).parents[2]
WORDS = "the red planets of searching engines what weather new yorker indexed xylophone 42 ?"
TEXTS = [
    "What's the weather in New York now?",
    "",
    "mars",
    "a model of words, dense and sparse: état, 漢字, 🙂!",
    *(" ".join(random.Random(n).choices(WORDS.split(), k=n)) for n in (2, 7, 19, 60)),
]
DOCUMENTS = [Document(str(number), text) for number, text in enumerate(TEXTS)]

# torch and transformers cannot be imported, as where they are not installed.
WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def dense(rows: SparseRows, size: int) -> np.ndarray:
    matrix = np.zeros((len(rows), size), dtype=np.float32)
    for i in range(len(rows)):
        span = slice(rows.indptr[i], rows.indptr[i + 1])
        assert (np.diff(rows.dimensions[span].astype(int)) > 0).all()
        matrix[i, rows.dimensions[span]] = rows.weights[span]
    return matrix


@pytest.fixture(scope="module")
def checkpoint(write_router, tmp_path_factory) -> Path:
    return write_router(tmp_path_factory.mktemp("checkpoint"), activation="log1p_relu")


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("exported") / "encoder"
    export_encoder(checkpoint, output)
    return output


@pytest.fixture
def copy(exported, tmp_path) -> Path:
    """An export of its own, to be damaged."""
    for path in exported.rglob("*"):
        if path.is_file():
            target = tmp_path / "copy" / path.relative_to(exported)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "copy"


def assert_same_rows(checkpoint: Path, exported: Path, settings: str = "", atol=1e-4) -> None:
    torch_engine = create_encoder("splade", f"{checkpoint}{settings}", device="cpu")
    onnx_engine = create_encoder("splade", f"{exported}{settings}")
    size = torch_engine.spec.vocabulary
    expected = dense(torch_engine.encode_documents(DOCUMENTS), size)
    assert onnx_engine.spec.vocabulary == size
    assert (expected > 0).any()
    found = dense(onnx_engine.encode_documents(DOCUMENTS), size)
    np.testing.assert_allclose(found, expected, atol=atol)
    first, second = torch_engine.query_side(), onnx_engine.query_side()
    assert first.tokenizer_json == second.tokenizer_json
    np.testing.assert_array_equal(first.table, second.table)


@pytest.mark.parametrize("settings", ["", "?max_length=9", "?zero_special_tokens=no"])
def test_router_with_its_query_table(checkpoint, exported, settings):
    assert_same_rows(checkpoint, exported, settings)
    assert create_encoder("splade", str(exported)).query_side().table is not None


def test_an_export_records_where_query_weights_come_from(write_masked_lm, tmp_path):
    export_encoder(
        write_masked_lm(tmp_path / "checkpoint"),
        tmp_path / "export",
        options=SpladeOptions(query_table="content"),
    )
    assert create_encoder("splade", f"{tmp_path}/export").query_side().content_only
    again = create_encoder("splade", f"{tmp_path}/export?query_table=corpus")
    assert not again.query_side().content_only


def test_an_export_records_how_repeated_query_tokens_count(write_masked_lm, tmp_path):
    export_encoder(
        write_masked_lm(tmp_path / "checkpoint"),
        tmp_path / "export",
        options=SpladeOptions(aggregation="sum"),
    )
    assert create_encoder("splade", f"{tmp_path}/export").spec.aggregation == "sum"
    again = create_encoder("splade", f"{tmp_path}/export?aggregation=binary")
    assert again.spec.aggregation == "binary"


def test_queries_by_a_network_need_the_checkpoint(exported):
    with pytest.raises(EncoderError, match="no network for queries; give the checkpoint itself"):
        create_encoder("splade", f"{exported}?neural_queries=true")


@pytest.mark.parametrize("strategy", ["max", "sum"])
def test_symmetric_splade(write_splade, tmp_path, strategy):
    checkpoint = write_splade(tmp_path / "checkpoint", strategy=strategy)
    export_encoder(checkpoint, tmp_path / "out")
    assert_same_rows(checkpoint, tmp_path / "out")


def test_distilbert(write_masked_lm, tmp_path):
    checkpoint = write_masked_lm(tmp_path / "checkpoint", "distilbert")
    export_encoder(checkpoint, tmp_path / "out")
    assert_same_rows(checkpoint, tmp_path / "out")


def test_genuine_checkpoint(splade_tiny, tmp_path):
    export_encoder(splade_tiny, tmp_path / "out")
    assert_same_rows(splade_tiny, tmp_path / "out")


def test_int8_is_close_and_deterministic(checkpoint, exported, tmp_path):
    config = export_encoder(checkpoint, tmp_path / "int8", precision="int8")
    assert config.precision == "int8"
    whole = create_encoder("splade", str(exported))
    eight = create_encoder("splade", str(tmp_path / "int8"))
    rows = eight.encode_documents(DOCUMENTS)
    size = whole.spec.vocabulary
    expected = dense(whole.encode_documents(DOCUMENTS), size)
    found = dense(rows, size)
    assert np.abs(found - expected).mean() < 0.05 * expected[expected > 0].mean()
    assert eight.spec.parameters["precision"] == "int8"
    np.testing.assert_array_equal(rows.weights, eight.encode_documents(DOCUMENTS).weights)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_every_matrix_is_stored_once_and_as_small_as_said(
    write_masked_lm, tmp_path, precision, is_tied
):
    import onnx

    checkpoint = write_masked_lm(tmp_path / "c", tie_word_embeddings=is_tied)
    config = export_encoder(checkpoint, tmp_path / "out", precision=precision)
    graph = onnx.load(str(tmp_path / "out" / "body.onnx")).graph
    sizes = {tuple(t.dims): t.data_type for t in graph.initializer if len(t.dims) == 2}
    embeddings = sizes.pop((config.vocabulary, config.hidden_size), None)
    types = onnx.TensorProto
    assert (embeddings is None) == is_tied
    if not is_tied:
        assert embeddings == (types.FLOAT if precision == "float32" else types.FLOAT16)
    matrix = types.FLOAT if precision == "float32" else types.INT8
    assert sizes[config.hidden_size, config.hidden_size] == matrix


def test_threads_and_batches(exported):
    one = OnnxSpladeEncoder(exported, threads=1).encode_documents(DOCUMENTS * 3)
    many = OnnxSpladeEncoder(exported, threads=3).encode_documents(DOCUMENTS * 3)
    np.testing.assert_array_equal(one.weights, many.weights)
    small = create_encoder("splade-onnx", f"{exported}?batch_tokens=30")
    rows = small.encode_documents(DOCUMENTS * 3)
    size = small.spec.vocabulary
    np.testing.assert_allclose(dense(rows, size), dense(one, size), atol=1e-5)


def test_the_spec_makes_it_again(exported, copy):
    spec = create_encoder("splade", f"{exported}?prune=top_k:9").spec
    assert (spec.kind, spec.name) == ("splade", "splade-onnx")
    parameters = json.loads(json.dumps(dict(spec.parameters)))
    assert create_encoder(spec.name, str(copy), **parameters).spec == spec
    with pytest.raises(CheckpointError, match="not the checkpoint that was recorded"):
        create_encoder(spec.name, str(copy), **{**parameters, "content_hash": "xxh3:0"})


def test_settings_of_the_export_are_recorded(checkpoint, tmp_path):
    arguments = [f"{checkpoint}?max_length=9&prune=top_k:5", "-o", str(tmp_path / "out")]
    answer = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert answer.exit_code == 0
    encoder = create_encoder("splade", str(tmp_path / "out"))
    assert encoder.spec.max_length == 9
    assert np.diff(encoder.encode_documents(DOCUMENTS).indptr).max() == 5
    with pytest.raises(EncoderError, match="--overwrite"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    (tmp_path / "other").mkdir()
    with pytest.raises(EncoderError, match="exists"):
        export_encoder(checkpoint, tmp_path / "other", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_indexing_and_searching_without_torch(checkpoint, exported, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"_id": d.doc_id, "text": d.text or "red"}) for d in DOCUMENTS]
    corpus.write_text("\n".join(lines))
    code = f"""{WITHOUT_TORCH}
import numpy as np
from encoders.base import Document
from encoders.registry import create_encoder
rows = create_encoder("splade", {str(exported)!r}).encode_documents(
    [Document(str(i), text) for i, text in enumerate({TEXTS!r})])
np.savez({str(tmp_path / "rows.npz")!r}, i=rows.indptr, d=rows.dimensions, w=rows.weights)
sys.argv = ["indexer", "build", {str(corpus)!r}, "-o", {str(tmp_path / "index")!r},
            "--encoder", "splade:" + {str(exported)!r}, "--no-split", "-q"]
from indexer.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert "torch" not in sys.modules and "transformers" not in sys.modules
from retriever.searcher import open_index
with open_index({str(tmp_path / "index")!r}) as searcher:
    print(searcher.search("weather in new york").hits[0].doc_id)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert answer.returncode == 0, answer.stderr
    stored = np.load(tmp_path / "rows.npz")
    encoder = create_encoder("splade", str(checkpoint), device="cpu")
    found = dense(SparseRows(stored["i"], stored["d"], stored["w"]), encoder.spec.vocabulary)
    expected = dense(encoder.encode_documents(DOCUMENTS), encoder.spec.vocabulary)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # The first hit is the best by the torch vectors, but for the 8-bit impacts of an index.
    side = encoder.query_side()
    ids = sorted(set(WordPieceTokenizer(side.tokenizer_json).ids("weather in new york")))
    scores = expected[:, ids] @ side.table[ids]
    assert scores.max() > 0
    assert scores[int(answer.stdout.split()[-1])] >= 0.99 * scores.max()


@pytest.mark.parametrize("name", ["body.onnx", "head.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_damaged_files_are_named(copy, name, damage):
    path = copy / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        half = len(content) // 2
        rest = b"" if damage == "truncated" else bytes([content[half] ^ 1]) + content[half + 1 :]
        path.write_bytes(content[:half] + rest)
    with pytest.raises(CheckpointError, match=name):
        create_encoder("splade", str(copy))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 3}, "format_version"),
        ({"surplus": 1}, "surplus"),
        ({"vocabulary": 9}, "vocabulary rows"),
        ({"hidden_size": 16}, "head.safetensors"),
        ({"special_ids": [0]}, "special tokens"),
        ({"prune": "top_k:x"}, "pruning"),
        ({"files": {}}, "does not name"),
        ({"precision": "int8"}, "head.safetensors"),
    ],
)
def test_a_configuration_of_something_else_is_refused(copy, change, message):
    path = copy / "encoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        create_encoder("splade", str(copy))


def test_options_that_do_not_fit(exported, tmp_path):
    with pytest.raises(EncoderError, match="runs on the CPU"):
        create_encoder("splade", f"{exported}?device=cuda")
    with pytest.raises(EncoderError, match="at most 64 tokens"):
        create_encoder("splade", f"{exported}?max_length=65")
    with pytest.raises(CheckpointError, match="not an exported encoder"):
        create_encoder("splade-onnx", str(tmp_path))
