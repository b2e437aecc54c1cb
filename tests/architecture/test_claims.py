"""What pyproject.toml claims of Pythons and dependencies, in the form in which .ci/run tries it."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.architecture.source import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CLAIMS = [
    *PROJECT["build-system"]["requires"],
    *PROJECT["project"]["dependencies"],
    *(claim for extra in PROJECT["project"]["optional-dependencies"].values() for claim in extra),
]


@pytest.mark.parametrize("claim", CLAIMS)
def test_each_dependency_names_its_lowest_version(claim: str) -> None:
    assert re.fullmatch(r"[\w.-]+>=[0-9.]+(,<[0-9.]+)?", claim)


def test_the_oldest_python_is_the_same_wherever_it_is_named() -> None:
    name = "Programming Language :: Python :: "
    classifiers = PROJECT["project"]["classifiers"]
    minors = [int(c.rpartition(".")[2]) for c in classifiers if c.startswith(name)]
    oldest = f"3.{minors[0]}"
    assert minors == list(range(minors[0], minors[0] + len(minors)))
    assert PROJECT["project"]["requires-python"] == f">={oldest}"
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert f"Python {oldest} or newer" in (ROOT / "README.md").read_text()
