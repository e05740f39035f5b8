r"""Fits the static vectors that re-rank the first documents of a search.

    python -m benchmarks.training.static_vectors benchmarks/training/recipe_static.toml

With ``--table DIR`` the axes of dense vectors alone are fitted, to a table that is there. Both are
written to the recipe's ``output``. What the teacher computes is kept under a hash of text and
model, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from encoders.dense_vectors import PROBE
from encoders.masked_lm import Precision
from encoders.query.tokenizer import WordPieceTokenizer, default_tokenizer_json
from encoders.static_config import StaticConfig
from encoders.static_vectors import DenseAxes, StaticVectors, write_static_vectors
from encoders.training.dense_teacher import DenseTeacher
from encoders.training.sources import Source, excluded_queries, read_source
from encoders.training.static_axes import nearest_axes, query_sums
from encoders.training.static_table import (
    StaticExamples,
    StaticSettings,
    fit_static_table,
    read_tokens,
)


class StaticRecipe(BaseModel):
    """A run.

    Attributes:
        teacher: Directory of a BERT-type sentence-embedding model.
        name: Of the teacher.
        output: Directory of the result.
        cache: Where the teacher's vectors are kept.
        max_length: Tokens of a text, special ones included, that teacher and table read.
        precision: Of the teacher's products.
        threads: Of torch.
        use: How an index is to use the vectors, recorded with them.
        use_dense: The same where documents have the teacher's vectors.
        settings: How the table is fitted.
        sources: Training text.
        exclude: Sources whose queries are left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: Path
    name: str
    output: Path
    cache: Path = Path("checkpoints/teachers/dense")
    max_length: int = 128
    precision: Precision = "float32"
    threads: int = 2
    use: StaticConfig
    use_dense: StaticConfig
    settings: StaticSettings = StaticSettings()
    sources: tuple[Source, ...]
    exclude: tuple[Source, ...] = ()


def train(recipe: StaticRecipe, fitted: Path | None = None) -> None:
    """Reads the text, lets the teacher read it, fits the table and its axes, and writes both.

    Args:
        recipe: The run.
        fitted: A table that is there already, of which the axes alone are fitted.
    """
    import torch

    torch.set_num_threads(recipe.threads)
    table = None if fitted is None else StaticVectors.read(fitted).table
    documents: dict[str, int] = {}
    queries: dict[str, int] = {}
    pairs = []
    excluded = excluded_queries(recipe.exclude)
    for source in recipe.sources:
        found = read_source(source, excluded)
        for query, positives in zip(found.queries, found.positives, strict=True):
            text = found.documents[positives[0]]
            pair = (
                queries.setdefault(query, len(queries)),
                documents.setdefault(text, len(documents)),
            )
            pairs.append(pair)
        print(f"{source.name}: {len(found.queries)} queries", flush=True)
    teacher = DenseTeacher(recipe.teacher, recipe.cache, recipe.max_length, recipe.precision)
    tokenizer = WordPieceTokenizer(default_tokenizer_json())

    def tell(line: str) -> None:
        print(line, flush=True)

    query_vectors = teacher.vectors(list(queries), tell)
    query_counts = read_tokens(tokenizer, list(queries), recipe.max_length - 2)
    if table is None:
        document_vectors = teacher.vectors(list(documents), tell)
        document_counts = read_tokens(tokenizer, list(documents), recipe.max_length - 2)
        examples = StaticExamples(
            document_counts, query_counts, document_vectors, query_vectors, np.array(pairs)
        )
        table = fit_static_table(examples, tokenizer.vocab_size, recipe.settings, tell)
    axes = nearest_axes(query_vectors, query_sums(table, query_counts)).astype(np.float16)
    [probe] = teacher.encode([PROBE])
    dense = DenseAxes(recipe.name, axes, probe, recipe.use_dense)
    write_static_vectors(recipe.output, table, recipe.use, dense)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="a TOML file")
    parser.add_argument("--table", type=Path, help="directory of a table to which to fit axes")
    arguments = parser.parse_args()
    recipe = StaticRecipe.model_validate(tomllib.loads(arguments.recipe.read_text()))
    train(recipe, arguments.table)


if __name__ == "__main__":
    main()
