"""Whose data a folder holds: that of a tree file, or of an embedded node, by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ssm_cli.errors import StorageError

OWNER = "owner.json"  # written by who opens the folder


def another(folder: Path, owner: Mapping[str, str], here: str, instead: str) -> StorageError:
    """Return the error for a folder that holds the data of another tree."""
    return StorageError(
        f"{folder} holds the data of {owner['tree'] or embedded(owner['name'])}, and this is "
        f"{here}: {instead}, or, if these are two of one tree, remove {folder / OWNER}"
    )


def embedded(name: str) -> str:
    """Return what an embedded node is called, for people."""
    return f"the embedded node `{name}`"


def owner_of(folder: Path) -> dict[str, str] | None:
    """Return whose data a folder holds; None where it does not say so."""
    try:
        found = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and {"tree", "name", "digest"} <= found.keys()
    return {key: str(value) for key, value in found.items()} if whole else None
