"""``indexer export-encoder`` and ``indexer export-router``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export-encoder")
@click.argument("checkpoint")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Directory to write."
)
@click.option("--int8", is_flag=True, help="Weights of 8 bits: a quarter of the size, less exact.")
@click.option(
    "--part-weight",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Weight beside English BM25, recorded for a model that becomes the default.",
)
@click.option("--overwrite", is_flag=True, help="Replace an exported encoder that is there.")
def export_encoder(
    checkpoint: str, output: Path, int8: bool, part_weight: float, overwrite: bool
) -> None:
    """Export a SPLADE-type checkpoint, so that it encodes without torch.

    CHECKPOINT is its directory, with settings behind a question mark where wanted:
    'DIR?max_length=256&prune=max_ratio:0.1'. Exporting itself needs the extra [encode]; what is
    written needs nothing but the plain installation: indexer build CORPUS --encoder splade:DIR
    """
    from encoders.onnx_export import export_encoder as export
    from encoders.splade_options import read_options, split_argument

    directory, settings = split_argument(checkpoint)
    config = export(
        directory,
        output,
        options=read_options(settings),
        precision="int8" if int8 else "float32",
        part_weight=part_weight,
        overwrite=overwrite,
    )
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    click.echo(
        f"{output}: {config.precision}, vocabulary {config.vocabulary}, "
        f"{config.max_length} tokens, {size / 1e6:.1f} MB",
        err=True,
    )


@click.command("export-router")
@click.argument("checkpoint")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Directory to write."
)
@click.option(
    "--query-weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of query weights for a checkpoint without its own: .json with {token: weight}, "
    ".txt with token<TAB>weight, or .safetensors with one tensor 'weight'.",
)
def export_router(checkpoint: str, output: Path, query_weights: Path | None) -> None:
    """Save a SPLADE-type checkpoint as sentence-transformers and OpenSearch load it.

    CHECKPOINT is its directory, with settings behind a question mark where wanted:
    'DIR?max_length=256&activation=log1p_relu'. What is written is an inference-free model: a
    Router of the network for documents and a static embedding for queries, which takes up trained
    query factors. Pruning and aggregation are recorded for Winnow: other programs read neither.
    """
    from encoders.query.table import read_table
    from encoders.router_layout import save_router_layout
    from encoders.splade import create

    table = None
    if query_weights is not None:
        encoder = create("splade", checkpoint)
        table = read_table(query_weights, encoder.tokenizers.query, encoder.vocabulary)
    save_router_layout(checkpoint, output, query_weights=table)
    click.echo(f"{output}: saved in the Router layout", err=True)
