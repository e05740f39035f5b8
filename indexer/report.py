"""What a build did, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


def format_size(size: float) -> str:
    """A number of bytes for people.

    >>> format_size(698), format_size(12_345_678)
    ('698 B', '12.3 MB')
    """
    if size < 1000:
        return f"{size:,.0f} B"
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} GB"


@dataclass(frozen=True)
class EncodingReport:
    """What it took to encode a part of learned weights, or vectors.

    Attributes:
        passages: Passages encoded by this run.
        found: Passages that a run which did not end had encoded.
        seconds: Wall-clock time.
        passages_per_second: Passages encoded per second.
        padding: Padding as a share of the tokens read, ``None`` where the encoder counts none.
        repeated: Batches computed again after one of the processes died.
    """

    passages: int
    found: int
    seconds: float
    passages_per_second: float
    padding: float | None = None
    repeated: int = 0

    def render(self) -> str:
        """One line for a terminal."""
        line = (
            f"encoded {self.passages:,} passages in {self.seconds:.1f} s, "
            f"{self.passages_per_second:,.1f}/s"
        )
        if self.padding is not None:
            line += f", {self.padding:.1%} padding"
        if self.found:
            line += f", {self.found:,} passages were encoded before"
        if self.repeated:
            line += f", {self.repeated:,} batches repeated after a process died"
        return line


@dataclass(frozen=True)
class PartReport:
    """One part of a space in numbers.

    Attributes:
        name: ``SPACE.PART``.
        nnz: Weights stored by this run.
        scale: Document weight of one impact step.
        saturated: Weights above 255 steps, cut to 255.
        truncated: Passages of which the encoder read only the beginning.
        drift: For BM25 when documents are added: average length now, relative to the pinned one.
        encoding: For learned weights: the work of encoding.
    """

    name: str
    nnz: int
    scale: float
    saturated: int = 0
    truncated: int = 0
    drift: float | None = None
    encoding: EncodingReport | None = None


@dataclass(frozen=True)
class DeletionReport:
    """Result of a deletion.

    Attributes:
        generation: The current generation, a new one if anything was deleted.
        deleted: Documents deleted.
        unknown: Ids that the index does not hold.
    """

    generation: int
    deleted: int
    unknown: int


@dataclass(frozen=True)
class MergeReport:
    """Result of a merge.

    Attributes:
        index: Where the index is.
        generation: The current generation, a new one if anything was merged.
        merged_segments: Segments that became one; 0 if there was nothing to do.
        segments: Segments of the index now.
        documents: Documents of the index.
        passages: Their passages.
        dropped_documents: Deleted documents whose data are gone.
        dropped_passages: Their passages.
        size_before: Size of the whole index before, in bytes.
        size_after: Size of the whole index now.
        seconds: Wall-clock time.
        order_seconds: Time spent on the order of passages, ``None`` for order of arrival.
        log2_gap_before: Mean log2 of the gaps between a dimension's postings in order of arrival,
            over the dimensions that decide the order.
        log2_gap_after: The same in the order found.
    """

    index: Path
    generation: int
    merged_segments: int
    segments: int
    documents: int
    passages: int
    dropped_documents: int
    dropped_passages: int
    size_before: int
    size_after: int
    seconds: float
    order_seconds: float | None = None
    log2_gap_before: float | None = None
    log2_gap_after: float | None = None

    def render(self) -> str:
        """A few lines for a terminal."""
        if not self.merged_segments:
            return f"{self.index}: generation {self.generation}, nothing to merge"
        dropped = self.dropped_documents
        lines = [
            f"{self.index}: generation {self.generation} in {self.seconds:.1f} s",
            f"  {self.merged_segments:,} segments merged into one, {self.segments:,} in all",
            f"  {self.documents:,} documents, {self.passages:,} passages"
            + (f", {dropped:,} deleted documents dropped" if dropped else ""),
            f"  size {format_size(self.size_before)} before, {format_size(self.size_after)} now",
        ]
        if self.order_seconds is not None:
            lines.append(
                f"  order of passages found in {self.order_seconds:.1f} s, mean log2 of gaps "
                f"{self.log2_gap_before:.2f} before, {self.log2_gap_after:.2f} now"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class BuildReport:
    """Result of a build or of an addition.

    Attributes:
        index: Where the index is.
        generation: The generation that was committed.
        documents: Documents that this run added.
        passages: Passages that they became.
        split_documents: Documents of more than one passage.
        title_only: Documents with a title and no text.
        without_text: Documents with neither; they are kept, and no query finds them.
        rejected: Records that were not indexed, by reason.
        rejects_file: JSON lines with file, line and reason of each rejected record.
        parts: Numbers per part.
        size_bytes: Size of the whole index.
        segments: Segments that the index has now.
        seconds: Wall-clock time by stage.
        warnings: What a user should know.
        replaced: Documents of the index that gave way to new ones of their ids.
        reranked: How many documents of a search vectors rank again; 0 without them.
        vectors: What these are.
        vector_encoding: The work of a network that made them.
    """

    index: Path
    generation: int
    documents: int
    passages: int
    split_documents: int
    title_only: int
    without_text: int
    rejected: Mapping[str, int]
    rejects_file: Path | None
    parts: tuple[PartReport, ...]
    size_bytes: int
    segments: int = 1
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    replaced: int = 0
    reranked: int = 0
    vectors: str = ""
    vector_encoding: EncodingReport | None = None

    @property
    def rejected_count(self) -> int:
        """Records that were not indexed."""
        return sum(self.rejected.values())

    def render(self) -> str:
        """A few lines for a terminal."""
        total = sum(self.seconds.values())
        rate = self.documents / total if total else 0
        lines = [
            f"{self.index}: generation {self.generation} in {total:.1f} s",
            f"  {self.documents:,} documents, {self.passages:,} passages, {rate:,.0f} documents/s",
            f"  size {format_size(self.size_bytes)}"
            + (f", {self.split_documents:,} documents split" if self.split_documents else "")
            + (f", {self.replaced:,} documents replaced" if self.replaced else ""),
        ]
        if self.title_only or self.without_text:
            lines.append(
                f"  {self.title_only:,} with a title only, {self.without_text:,} without any text"
            )
        for part in self.parts:
            average = part.nnz / self.passages if self.passages else 0
            line = f"  part {part.name}: {average:.1f} terms per passage, scale {part.scale:.6g}"
            if part.saturated:
                line += f", {part.saturated:,} weights saturated"
            if part.truncated:
                line += f", {part.truncated:,} passages truncated by the encoder"
            if part.drift is not None and abs(part.drift - 1) > 0.1:
                line += (
                    f", average length is {part.drift:.2f} times the one pinned at the first "
                    "build (indexer merge --refresh-statistics renews it)"
                )
            lines.append(line)
            if part.encoding is not None:
                lines.append(f"    {part.encoding.render()}")
        if self.reranked:
            lines.append(f"  {self.vectors} rank the first {self.reranked} of a search again")
        if self.vector_encoding is not None:
            lines.append(f"    {self.vector_encoding.render()}")
        if self.rejected_count:
            see = f", see {self.rejects_file}" if self.rejects_file else ""
            lines.append(f"  {self.rejected_count:,} records rejected{see}")
            lines += [f"    {count:,} x {reason}" for reason, count in self.rejected.items()]
        if self.segments > 1:
            lines.append(
                f"  {self.segments:,} segments; searches are faster in one: "
                f"indexer merge {self.index}"
            )
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)
