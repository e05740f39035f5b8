"""The tables of a comparison, as Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks.reporting import markdown_table


def latency_table(result: dict[str, Any], k: int) -> str:
    """A row per engine, boundary and setting: microseconds per query."""
    tails = [
        name for name in ("p50", "p95", "p99", "p99.9") if f"{name}_us" in result["k"][str(k)][0]
    ]
    header = ["engine", "boundary", "mean us", *tails, "1/s one core", "1/s all cores"]
    header += ["ns/posting", "recall", "same order", "winnow/engine (95 %)"]
    rows = []
    for row in result["k"][str(k)]:
        ratio = row["winnow_ratio"]
        rows.append(
            [
                f"{row['engine']} {row['setting']}".strip(),
                row["boundary"],
                f"{row['mean_us']:.0f}",
                *(f"{row[f'{name}_us']:.0f}" for name in tails),
                f"{row['per_second_one_core']:.0f}",
                f"{row['per_second_all_cores']:.0f}",
                f"{row['ns_per_posting']:.3f}",
                f"{row['recall']:.4f}" if "recall" in row else "",
                f"{row['same_order']:.3f}" if "same_order" in row else "",
                f"{ratio[0]:.3f} ({ratio[1]:.3f}-{ratio[2]:.3f})" if ratio else "",
            ]
        )
    return markdown_table(header, rows)


def size_table(result: dict[str, Any]) -> str:
    """A row per engine: size of the index, seconds of the build, memory while serving."""
    header = ["engine", "version", "bytes/posting", "bytes/document", "build s", "build peak MB"]
    header += ["serving peak MB"]
    rows = []
    for name, info in result["engines"].items():
        rows.append(
            [
                name,
                info.get("version", ""),
                f"{info['index_bytes'] / result['postings']:.2f}",
                f"{info['index_bytes'] / result['documents']:.0f}",
                f"{info['build_seconds']:.0f}",
                f"{info['build_peak_rss_bytes'] / 1e6:.0f}",
                f"{info['peak_rss_bytes'] / 1e6:.0f}",
            ]
        )
    return markdown_table(header, rows)
