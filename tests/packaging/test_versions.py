"""pyproject.toml and constraints.txt: what is declared, what is pinned."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OTHER_ENVIRONMENT = {"pyserini"}  # needs a Java machine and pins of its own


def declared_requirements() -> list[Requirement]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    requirements = [Requirement(text) for group in groups for text in group]
    return [r for r in requirements if r.name not in {PROJECT["name"], *OTHER_ENVIRONMENT}]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_version_keeps_clear_of_the_window_that_transformers_probes() -> None:
    # transformers takes any distribution with a `kernels` package and such a version for
    # Hugging Face's own, and imports names from it that ours does not have.
    assert PROJECT["version"] not in SpecifierSet(">=0.18.2,<0.19")


@pytest.mark.parametrize("requirement", declared_requirements(), ids=str)
def test_every_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    pinned = pins()
    name = canonicalize_name(requirement.name)
    assert name in pinned, f"add {name} to constraints.txt"
    assert requirement.specifier.contains(pinned[name])


def test_torch_is_pinned_without_a_build() -> None:
    # A local version such as 2.13.0+cpu exists on one index only.
    assert pins()["torch"] == "2.13.0"
