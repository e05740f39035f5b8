"""An index described for a terminal: spaces, segments, and bytes by purpose."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from indexer.format.arrays import decoded_size
from indexer.format.commit import SEGMENTS
from indexer.format.manifest import Manifest, PartEntry
from indexer.format.segment import Segment
from indexer.format.vectors import VECTORS_NAME
from indexer.report import format_size


def render(index: Path, manifest: Manifest) -> str:
    """Several lines about one generation."""
    lines = [
        f"{index}",
        f"  format {manifest.version}, generation {manifest.generation}, {manifest.created_at}",
        f"  {manifest.document_count:,} documents, {manifest.row_count:,} passages",
    ]
    for name, space in manifest.spaces.items():
        default = " (default)" if name == manifest.default_space else ""
        lines.append(f"  space {name}{default}")
        lines += [f"    {_describe(part)}" for part in space.parts]
    if manifest.rerank:
        rerank = manifest.rerank
        lines.append(
            f"  the first {rerank.depth} documents re-ranked by {rerank.label} of "
            f"{rerank.dimensions} dimensions: weight {rerank.weight:g}"
        )
    if manifest.fields:
        fields = ", ".join(f"{name}: {kind}" for name, kind in manifest.fields.items())
        lines.append(f"  fields {fields}")
    for segment in manifest.segments:
        size = sum(entry.size for entry in segment.files.values())
        deleted = segment.document_count - segment.live_documents
        line = f"  segment {segment.name}: {segment.document_count:,} documents"
        line += f", {deleted:,} deleted" if deleted else ""
        line += ", passages bisected" if segment.reordered else ""
        line += f", {format_size(size)}"
        if segment.compressed:
            directory = index / SEGMENTS / segment.name
            decoded = sum(decoded_size(directory / name) for name in segment.files)
            line += f" compressed, {format_size(decoded)} decoded"
        lines.append(line)
    lines.append("  bytes")
    sizes = bytes_by_purpose(manifest)
    for purpose, size in [*sizes.most_common(), ("all files", sizes.total())]:
        per_document = size / max(1, manifest.document_count)
        share = 100 * size / max(1, sizes.total())
        lines.append(
            f"    {purpose:<32} {format_size(size):>10} {per_document:>9,.1f} per document "
            f"{share:>5.1f} %"
        )
    lines.append("  postings")
    for name, count in count_postings(index, manifest).items():
        size = sum(sizes[purpose] for purpose in _purposes(name))
        lines.append(
            f"    {name}: {count:,}, {count / max(1, manifest.row_count):,.1f} per passage, "
            f"{size / max(1, count):.2f} bytes each"
        )
    return "\n".join(lines)


def count_postings(index: Path, manifest: Manifest) -> dict[str, int]:
    """Stored postings per space, those of deleted documents included.

    Raises:
        indexer.errors.IndexCorruptError: A file is missing or damaged.
    """
    counts: Counter[str] = Counter(dict.fromkeys(manifest.spaces, 0))
    for entry in manifest.segments:
        for name, space in Segment(index, entry, manifest.spaces).spaces.items():
            counts[name] += space.postings.posting_count
    return dict(counts)


def bytes_by_purpose(manifest: Manifest) -> Counter[str]:
    """Bytes of all files, added up by what they are for."""
    sizes: Counter[str] = Counter()
    for path, entry in manifest.all_files().items():
        name = path.rsplit("/", 1)[-1]
        if path.startswith("query/"):
            purpose = "query side"
        elif name == "documents.arrow":
            purpose = "stored texts"
        elif name == "columns.arrow":
            purpose = "metadata"
        elif name.startswith("doc_ids."):
            purpose = "document ids"
        elif ".postings." in name:
            space, _, array = name.removesuffix(".zst").removesuffix(".npy").partition(".postings.")
            purpose = f"{space}: {_ARRAY_PURPOSES.get(array, 'bounds')}"
        elif ".terms." in name:
            purpose = f"{name.partition('.terms.')[0]}: terms"
        elif ".doc_freq" in name:
            purpose = f"{name.partition('.doc_freq')[0]}: statistics"
        elif name == VECTORS_NAME:
            purpose = manifest.rerank.label if manifest.rerank else "vectors"
        elif name.startswith(("row_arrival.", "row_of_arrival.")):
            purpose = "order of passages"
        else:
            purpose = "passages and marks"
        sizes[purpose] += entry.size
    return sizes


_ARRAY_PURPOSES = {
    "local_ids": "posting lists",
    "impacts": "posting lists",
    "rare_windows": "posting lists",
    "columns": "dense columns",
    "posting_start": "directories",
    "rare_start": "directories",
    "directory": "directories",
    "window_start": "directories",
}
"""What the arrays of postings are for; the others hold bounds, by which searches skip."""


def _purposes(space: str) -> set[str]:
    return {f"{space}: {purpose}" for purpose in (*_ARRAY_PURPOSES.values(), "bounds")}


def _describe(part: PartEntry) -> str:
    encoder = part.encoder
    settings = ", ".join(
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in sorted(encoder.parameters.items())
        if value is not None
    )
    return (
        f"part {part.name}: weight {part.weight:g}, {encoder.kind} ({settings}), queries by "
        f"{part.query.analyzer} x {part.query.table}, one impact step {part.scale:.6g}"
    )
