"""The machine and the versions behind a figure, as ``eval`` describes them, peers included."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from eval.machine import describe_machine, package_versions

PEERS = ("bm25s", "tantivy")


def machine_and_versions() -> dict[str, str | int]:
    """Processor, vector instructions, cores, system, and versions of packages."""
    result: dict[str, str | int] = {**describe_machine().model_dump(), **package_versions()}
    for package in PEERS:
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            continue
    return result
