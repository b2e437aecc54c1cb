"""Whose data a folder holds: that of a tree file, or of an embedded node, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ssm_cli.errors import StorageError, message_of
from ssm_cli.private import read_file

OWNER = "owner.json"  # written by who opens the folder
MOST_BYTES = 65_536  # of it


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
    """Return whose data a folder holds; None where it does not say so.

    Raises:
        StorageError: what it says cannot be read.
    """
    path = folder / OWNER
    try:
        found = msgspec.json.decode(read_file(path, MOST_BYTES), type=dict[str, str])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, message_of(error)) from error
    missing = {"tree", "name", "digest"} - found.keys()
    if missing:
        raise _unreadable(path, f"it has no {min(missing)}")
    return found


def _unreadable(path: Path, why: str) -> StorageError:
    return StorageError(
        f"{path} does not say whose data this is: {why}; restore it, or, if these are the data of "
        f"this tree, remove it and name the folder by --data"
    )
