r"""Gives a sentence encoder a vocabulary head without training: the initial checkpoint of a recipe.

    python -m benchmarks.training.identity_head models/all-minilm-l6-v2 \
        benchmarks/training/recipe_large.toml -o models/all-minilm-l6-v2-head

The head is calibrated on a few texts of each of the recipe's sources.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from encoders.training.configuration import read_config
from encoders.training.identity_head import add_identity_head
from encoders.training.sources import read_source

TEXTS = 48
ACTIVE_DIMS = 200


def main() -> None:
    """Reads the texts and writes the checkpoint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("encoder", type=Path, help="directory of a BERT-type encoder")
    parser.add_argument("recipe", type=Path, help="its sources give the texts")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    sources = read_config(arguments.recipe).sources
    few = [s.model_copy(update={"documents": TEXTS, "queries": TEXTS}) for s in sources]
    texts = [text for source in few for text in read_source(source).documents[:TEXTS]]
    add_identity_head(arguments.encoder, arguments.output, texts, active_dims=ACTIVE_DIMS)


if __name__ == "__main__":
    main()
