"""An index described for a terminal: spaces, segments, and bytes by purpose."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from indexer.format.manifest import Manifest, PartEntry
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
    if manifest.fields:
        fields = ", ".join(f"{name}: {kind}" for name, kind in manifest.fields.items())
        lines.append(f"  fields {fields}")
    for segment in manifest.segments:
        size = sum(entry.size for entry in segment.files.values())
        deleted = segment.document_count - segment.live_documents
        lines.append(
            f"  segment {segment.name}: {segment.document_count:,} documents"
            + (f", {deleted:,} deleted" if deleted else "")
            + f", {format_size(size)}"
        )
    lines.append("  bytes")
    total = sum(entry.size for entry in manifest.all_files().values())
    for purpose, size in bytes_by_purpose(manifest).most_common():
        per_document = size / max(1, manifest.document_count)
        share = 100 * size / max(1, total)
        lines.append(
            f"    {purpose:<32} {format_size(size):>10} {per_document:>9,.1f} per document "
            f"{share:>5.1f} %"
        )
    return "\n".join(lines)


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
            space, _, array = name.removesuffix(".npy").partition(".postings.")
            purpose = f"{space} postings: {array}"
        elif ".terms." in name:
            purpose = f"{name.partition('.terms.')[0]} terms"
        elif ".doc_freq" in name:
            purpose = f"{name.partition('.doc_freq')[0]} statistics"
        else:
            purpose = "passages and marks"
        sizes[purpose] += entry.size
    return sizes


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
