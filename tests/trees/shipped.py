"""Where the trees that ship are."""

from __future__ import annotations

from pathlib import Path

TREES = Path(__file__).parents[2] / "trees"
