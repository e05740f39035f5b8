"""Sentences as queries: each is taken out of a document that it then asks for.

Titles say what a document is about, and some corpora are easily told apart by them; a sentence
asks for one thing that its document says.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from encoders.training.inverse_cloze import take_sentence
from eval.corpus_titles import TENTHS, TitledSample, split_of, write_collection


def write_sentences(sample: TitledSample, folder: Path) -> dict[str, int]:
    """Writes a sample as a collection whose queries are sentences of its held-back documents.

    A document belongs to the split of its title, so that what teaches and what decides have no
    document in common. Those of the splits ``dev`` and ``check`` lack the sentence that asks for
    them; all have their titles.

    Args:
        sample: Documents and titles.
        folder: Gets a folder in BEIR layout; identifiers are positions in the sample.

    Returns:
        How many sentences there are by split, ``train`` among them, which is not written: the
        training takes such sentences out by itself.
    """
    counts = dict.fromkeys(TENTHS, 0)
    texts, queries = [], {}
    qrels: dict[str, list[tuple[int, int]]] = {"dev": [], "check": []}
    for number, document in enumerate(sample.documents):
        split = split_of(document.title) if document.title else "train"
        taken = take_sentence(str(number), document.text)
        if taken is not None:
            counts[split] += 1
            if split in qrels:
                queries[number], rest = taken
                document = replace(document, text=rest)
                qrels[split].append((number, number))
        texts.append(document.full_text())
    write_collection(folder, texts, queries, qrels)
    return counts
