"""Layouts are recognised from files alone, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from encoders.checkpoint import Chain, Pooling, position_limit, read_checkpoint
from encoders.errors import CheckpointError

BERT = {"architectures": ["BertForMaskedLM"], "model_type": "bert", "max_position_embeddings": 512}
OLD = "sentence_transformers.sparse_encoder.models"


def write(directory: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return directory


def modules(*kinds: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"idx": i, "path": path, "type": kind} for i, (path, kind) in enumerate(kinds)]


def router(model: str = "", query: str = "SparseStaticEmbedding", **types: str) -> dict[str, Any]:
    ids = {
        model: f"{OLD}.MLMTransformer",
        "document_1_SpladePooling": f"{OLD}.SpladePooling",
        f"query_0_{query}": f"{OLD}.{query}",
    } | types
    return {
        "modules.json": modules(("", "sentence_transformers.models.Router")),
        "router_config.json": {
            "types": ids,
            "structure": {
                "document": [model, "document_1_SpladePooling"],
                "query": [f"query_0_{query}"],
            },
        },
        f"{model}/config.json" if model else "config.json": BERT,
        "document_1_SpladePooling/config.json": {"activation_function": "log1p_relu"},
        f"query_0_{query}/config.json": {"frozen": True},
        f"query_0_{query}/model.safetensors": "",
    }


@pytest.mark.parametrize("model", ["", "document_0_MLMTransformer", "document_0_Transformer"])
@pytest.mark.parametrize("query", ["SparseStaticEmbedding", "IDF"])
def test_router_layout(tmp_path, model, query):
    found = read_checkpoint(write(tmp_path, router(model, query)))
    assert found.layout == "router"
    assert found.model_directory == tmp_path / model
    assert found.pooling == Pooling("max", "log1p_relu")
    assert found.query_directory == tmp_path / f"query_0_{query}"
    assert found.table_file == tmp_path / f"query_0_{query}" / "model.safetensors"


def test_router_with_idf_json_named_in_the_query_module(tmp_path):
    files = router(query="IDF")
    del files["query_0_IDF/model.safetensors"]
    files |= {"query_0_IDF/config.json": {"path": "x/idf.json"}, "query_0_IDF/idf.json": {}}
    assert read_checkpoint(write(tmp_path, files)).table_file == tmp_path / "query_0_IDF/idf.json"


def test_router_without_query_weights_is_refused(tmp_path):
    files = router()
    del files["query_0_SparseStaticEmbedding/model.safetensors"]
    with pytest.raises(CheckpointError, match="has no query weights"):
        read_checkpoint(write(tmp_path, files))


def test_router_with_a_query_encoder_of_its_own_encodes_documents(tmp_path):
    files = router()
    config = files["router_config.json"]
    config["types"] |= {"query_0": f"{OLD}.MLMTransformer", "query_1": f"{OLD}.SpladePooling"}
    config["structure"]["query"] = ["query_0", "query_1"]
    found = read_checkpoint(write(tmp_path, files | {"query_0/x": "", "query_1/config.json": {}}))
    assert found.query_directory is None
    assert found.table_file is None
    assert found.query_chain == Chain(tmp_path / "query_0", Pooling())


def test_splade_layout(tmp_path):
    kinds = modules(("", f"{OLD}.MLMTransformer"), ("1_SpladePooling", f"{OLD}.SpladePooling"))
    files = {"modules.json": kinds, "config.json": BERT, "1_SpladePooling/config.json": {}}
    found = read_checkpoint(write(tmp_path, files))
    assert (found.layout, found.model_directory) == ("splade", tmp_path)
    assert found.pooling == Pooling()


def test_plain_layout_with_and_without_table(tmp_path):
    assert read_checkpoint(write(tmp_path, {"config.json": BERT})).table_file is None
    found = read_checkpoint(write(tmp_path, {"idf.json": {}}))
    assert (found.layout, found.table_file) == ("masked-lm", tmp_path / "idf.json")
    found = read_checkpoint(write(tmp_path, {"query_token_weights.txt": ""}))
    assert found.table_file == tmp_path / "query_token_weights.txt"


DENSE = modules(
    ("", "sentence_transformers.models.Transformer"),
    ("1_Pooling", "sentence_transformers.models.Pooling"),
)

CSR = [*DENSE, {"idx": 2, "path": "2_SparseAutoEncoder", "type": f"{OLD}.SparseAutoEncoder"}]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"config\.json is missing"),
        ({"config.json": "{"}, r"config\.json cannot be read as JSON"),
        ({"config.json": "[]"}, "must hold a JSON object, got list"),
        ({"config.json": {"architectures": ["BertModel"]}}, r"\['BertModel'\], expected one that"),
        ({"config.json": {"architectures": None}}, "expected one that ends in ForMaskedLM"),
        ({"config.json": BERT, "modules.json": DENSE}, "its modules are Transformer > Pooling"),
        ({"config.json": BERT, "modules.json": CSR}, "CSR checkpoint .*queries need the network"),
        ({"config.json": BERT, "modules.json": "{}"}, "its modules are none"),
        ({"config.json": BERT, "modules.json": [{"path": ""}]}, "list of modules with path"),
        ({"config.json": BERT, "modules.json": [{"path": "", "type": 3}]}, "list of modules"),
        ({"config.json": BERT, "vsplade_config.json": {}}, "V-SPLADE"),
        (router() | {"router_config.json": {}}, "must name the modules of a 'query'"),
        (router() | {"document_1_SpladePooling/config.json": {"activation_function": "gelu"}},
         r"SpladePooling.config\.json: activation_function must be 'relu' or 'log1p_relu'"),
        (router() | {"document_1_SpladePooling/config.json": {"pooling_strategy": "mean"}},
         "must be 'max' or 'sum', got 'mean'"),
        (router(model="../elsewhere"), r"'\.\./elsewhere', which is not inside"),
        (router(query="VSPLADEStaticEmbedding"), "never run"),
        (router() | {"config_sentence_transformers.json": {"prompts": {"query": "q: "}}},
         "puts the prompt 'q: ' in front of queries"),
        ({"config.json": BERT | {"sparse_prune_ratio": 2}}, "sparse_prune_ratio must be"),
        ({"config.json": BERT, "sentence_bert_config.json": {"max_seq_length": "long"}},
         "max_seq_length must be a number from 1, got 'long'"),
        ({"config.json": BERT,
          "sentence_bert_config.json": {"transformer_task": "feature-extraction"}},
         "'feature-extraction', not a masked language model"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, files, message):
    directory = write(tmp_path / "inside", files) if files else tmp_path
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(directory)


def test_folder_that_is_named_and_missing(tmp_path):
    files = router()
    del files["document_1_SpladePooling/config.json"]
    with pytest.raises(CheckpointError, match="'document_1_SpladePooling', which is missing"):
        read_checkpoint(write(tmp_path, files))


def test_no_directory(tmp_path):
    with pytest.raises(CheckpointError, match="is not a directory"):
        read_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("config", "tokenizer", "transformer", "expected"),
    [
        ({}, {}, {}, 512),
        ({"max_position_embeddings": 128}, {}, {}, 128),
        ({"max_position_embeddings": 8192}, {}, {}, 512),
        ({"max_position_embeddings": 8192}, {"model_max_length": 4096}, {}, 4096),
        ({}, {"model_max_length": 1e30}, {}, 512),
        ({}, {"model_max_length": 300}, {}, 300),
        ({}, {"model_max_length": 300}, {"max_seq_length": 256}, 256),
        ({}, {}, {"max_seq_length": 1024}, 512),
        ({}, {}, {"max_seq_length": None}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, {}, {}, 512),
        ({"max_position_embeddings": -1}, {"model_max_length": 700}, {}, 700),
    ],
)
def test_max_length(tmp_path, config, tokenizer, transformer, expected):
    files = {
        "config.json": BERT | config,
        "tokenizer_config.json": tokenizer,
        "sentence_bert_config.json": transformer,
    }
    assert read_checkpoint(write(tmp_path, files)).max_length == expected


def test_settings_of_early_releases_in_the_order_of_sentence_transformers(tmp_path):
    """An empty file is passed over, as there."""
    names = ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"]
    write(tmp_path, {"config.json": BERT})
    for number, name in reversed(list(enumerate(names, start=1))):
        settings = {"max_seq_length": 100 * number, "do_lower_case": True}
        write(tmp_path, {f"sentence_{name}_config.json": settings})
        found = read_checkpoint(tmp_path)
        assert (found.max_length, found.lower_case) == (min(512, 100 * number), True)
    write(tmp_path, {"sentence_bert_config.json": {}})
    assert read_checkpoint(tmp_path).max_length == 200
    write(tmp_path, {"sentence_roberta_config.json": {"max_seq_length": "long"}})
    with pytest.raises(CheckpointError, match="must be a number from 1, got 'long'"):
        read_checkpoint(tmp_path)


def test_position_limit():
    assert position_limit({"max_position_embeddings": 512}) == 512
    assert position_limit({"model_type": "mpnet", "max_position_embeddings": 514}) == 512
    assert position_limit({}) is None


def test_reading_a_checkpoint_imports_no_torch(tmp_path):
    directory = write(tmp_path, router())
    code = (
        "import sys; from pathlib import Path; import encoders.splade; "
        "from encoders.checkpoint import read_checkpoint; from encoders.query import table; "
        f"read_checkpoint(Path({str(directory)!r})); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=120)
