"""Benchmarks take time, and say nothing about right or wrong: they run when asked for only."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.name.startswith("test_") and not config.getoption("benchmark_only"):
        return True
    return None
