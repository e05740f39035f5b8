"""Documents per second of encoders on a GPU, with a random checkpoint of DistilBERT's size."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from encoders._transformers import masked_language_model
from encoders.base import Document
from encoders.splade import SpladeEncoder

VOCABULARY = 30522
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (40, 220)  # Of a document.
POSITIVE = 0.01  # Share of weights, about 300 per document.
PEER_BATCHES = (32, 128)
COMPARED = 16


def write_checkpoint(directory: Path) -> None:
    """A SPLADE directory of sentence-transformers: DistilBERT, tokenizer and SpladePooling."""
    tokens = SPECIAL + [f"word{number}" for number in range(VOCABULARY - len(SPECIAL))]
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
    torch.manual_seed(0)
    model = masked_language_model({"model_type": "distilbert", "vocab_size": VOCABULARY})
    ids = torch.randint(len(SPECIAL), VOCABULARY, (4, 128))
    with torch.no_grad():
        highest = model(input_ids=ids).logits.amax(dim=1).flatten()
        model.get_output_embeddings().bias -= torch.quantile(highest, 1 - POSITIVE)
    model.save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    package = "sentence_transformers.sparse_encoder.models"
    classes = [("", f"{package}.MLMTransformer"), ("1_SpladePooling", f"{package}.SpladePooling")]
    files: dict[str, Any] = {
        "tokenizer_config.json": {
            **dict(zip(names, SPECIAL, strict=True)),
            "tokenizer_class": "BertTokenizer",
            "model_max_length": 512,
            "do_lower_case": True,
        },
        "sentence_bert_config.json": {"max_seq_length": 256},
        "1_SpladePooling/config.json": {
            "pooling_strategy": "max",
            "activation_function": "relu",
            "word_embedding_dimension": VOCABULARY,
        },
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": kind}
            for number, (path, kind) in enumerate(classes)
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


def random_texts(count: int) -> list[str]:
    """Texts of random words of the vocabulary, 40 to 220 of them."""
    chance = random.Random(0)
    last = VOCABULARY - len(SPECIAL) - 1
    return [
        " ".join(f"word{chance.randint(0, last)}" for _ in range(chance.randint(*WORDS)))
        for _ in range(count)
    ]


def compare_encoders(count: int) -> dict[str, Any]:
    """Both engines on the same texts and checkpoint, with strict float32 products and with tf32.

    The peer gets the best of two batch sizes. The setting of torch holds for both engines; the
    fused head keeps the digits of float32 under either.
    """
    texts = random_texts(count)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_checkpoint(directory)
        encoder = SpladeEncoder(directory)
        documents = [Document(str(number), text) for number, text in enumerate(texts)]
        peer, difference = _peer(directory), None
        if peer is not None:
            few = documents[:COMPARED]
            expected = peer.encode_document(texts[:COMPARED]).to_dense().cpu().numpy()
            expected[:, : len(SPECIAL)] = 0  # Ours drops the dimensions of special tokens.
            rows = encoder.encode_documents(few)
            found = np.zeros_like(expected)
            numbers = np.repeat(np.arange(len(few)), np.diff(rows.indptr))
            found[numbers, rows.dimensions] = rows.weights
            difference = float(np.abs(found - expected).max())
        results = []
        before = torch.get_float32_matmul_precision()
        for products in ("highest", "high"):
            torch.set_float32_matmul_precision(products)
            ours = _rate(lambda n: encoder.encode_documents(documents[:n]), count)
            theirs = [
                _rate(partial(_peer_encodes, peer, texts, batch), count)
                for batch in (PEER_BATCHES if peer is not None else ())
            ]
            results.append({"products": products, "ours": ours, "peer": max(theirs, default=None)})
        torch.set_float32_matmul_precision(before)
    return {"documents": count, "largest_difference": difference, "rows": results}


def _peer_encodes(peer: Any, texts: list[str], batch: int, count: int) -> None:
    peer.encode_document(texts[:count], batch_size=batch)


def _peer(directory: Path) -> Any:
    try:
        from sentence_transformers import SparseEncoder
    except ImportError:
        print("sentence-transformers is not installed; there is nothing to compare with")
        return None
    return SparseEncoder(str(directory))


def _rate(encode: Callable[[int], Any], count: int) -> float:
    encode(min(count, 256))
    torch.cuda.synchronize()
    start = time.perf_counter()
    encode(count)
    torch.cuda.synchronize()
    return count / (time.perf_counter() - start)
