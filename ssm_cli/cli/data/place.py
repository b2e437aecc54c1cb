"""The data folder of a tree, opened if the tree has durable workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssm_cli.cli.environment import state_folder
from ssm_cli.cli.where import flag, option
from ssm_cli.errors import StorageError
from ssm_cli.private import write_private
from ssm_cli.storage.owner import OWNER, another, embedded, owner_of

if TYPE_CHECKING:
    from ssm_cli.spec.model import SupervisorSpec
    from ssm_cli.storage.folder import FolderStore

Pure = Annotated[bool, flag("step twice, and report workers that differ; slow", "--verify-pure")]
NoPostMortem = Annotated[bool, flag("save no past where the root gives up", "--no-post-mortem")]
Reload = Annotated[bool, flag("take code that has changed, unless it differs", "--reload")]
REMEMBERED, REMEMBERED_HEADLESS = 10_000, 1_000  # records, unless `--history` says otherwise


@dataclass(frozen=True)
class Kept:
    """The options of `ssm run` about what it keeps: on disk, and of its past."""

    data: Annotated[
        Path | None, option("DIR", "where states and journals live; default: by the tree's name")
    ] = None
    verify_pure: Pure = False
    history: Annotated[
        int | None,
        option("N", "remember the last N records, 0 none; default: 10000, headless 1000"),
    ] = None
    no_post_mortem: NoPostMortem = False
    reload: Reload = False

    def remembered(self, *, headless: bool) -> int:
        """Return how many records a tree remembers; a usage error for what is no such number."""
        from ssm_cli.runtime.engine.recorder import LEAST, MOST  # noqa: PLC0415 - not for help

        if self.history is None:
            return REMEMBERED_HEADLESS if headless else REMEMBERED
        if self.history != 0 and not LEAST <= self.history <= MOST:
            expected = f"0, or {LEAST} to {MOST:,} records"
            raise typer.BadParameter(f"--history takes {expected}, not {self.history}")
        return self.history


def folder_of(environ: Mapping[str, str], name: str, given: Path | None = None) -> Path:
    """Return the given folder, or the default one of the tree of that name.

    >>> folder_of({"XDG_STATE_HOME": "/state"}, "kv")
    PosixPath('/state/ssm/data/kv')
    """
    return state_folder(environ) / "data" / name if given is None else given


def own_folder(environ: Mapping[str, str], name: str, file: Path) -> Path:
    """Return the default folder of the tree in a file: the one that says that it is that tree's.

    The first of its name has the folder of that name; a tree of another file gets one of its own.
    A file that was moved is known by what is in it.

    Raises:
        StorageError: a folder of that name is that of a file that is gone, and another one.
    """
    data = state_folder(environ) / "data"
    plain, place = data / name, str(file.resolve())
    known = {}
    for folder in (plain, *sorted(data.glob(f"{name}-*"))):
        owner = owner_of(folder)
        if owner is not None and (folder == plain or owner["name"] == name):
            known[folder] = owner
    for folder, owner in known.items():
        if owner["tree"] == place:
            return folder
    gone = {folder: owner for folder, owner in known.items() if is_gone(owner)}
    moved = [folder for folder, owner in gone.items() if owner["digest"] == file_digest(file)]
    if len(moved) == 1:
        return moved[0]
    for folder, owner in gone.items():
        raise StorageError(
            f"{folder} holds the data of {owner['tree']}, which is gone, and this is {place}: if "
            f"it was moved here, say so by --data {folder}; if not, move that folder away"
        )
    return plain if plain not in known else data / f"{name}-{short(place)}"


def is_gone(owner: Mapping[str, str]) -> bool:
    """Whether the file of an owner is not where it was."""
    return not Path(owner["tree"]).exists()


def check_owner(folder: Path, file: Path) -> None:
    """Raise `StorageError` where a folder is that of another tree, which is still there."""
    owner, place = owner_of(folder), str(file.resolve())
    if owner is None or owner["tree"] == place or is_gone(owner):
        return
    if owner["digest"] != file_digest(file):
        raise another(folder, owner, place, "name another folder by --data")


def claim(folder: Path, name: str) -> None:
    """Note that a folder is that of the embedded node of this name, if it is nobody else's.

    Such a node is known by its name alone: its tree has no file, and its program may be any server.

    Raises:
        StorageError: it is another node's, or that of a tree file of another name, or is read only.
    """
    owner = owner_of(folder)
    if owner is None or (owner["name"] != name and owner["tree"] and is_gone(owner)):
        write_owner(folder, {"tree": "", "name": name, "digest": ""})
    elif owner["name"] != name:
        raise another(folder, owner, embedded(name), "give it a folder of its own")


def note_owner(folder: Path, name: str, file: Path) -> None:
    """Write whose data a folder holds; raises `StorageError`."""
    owner = {"tree": str(file.resolve()), "name": name, "digest": file_digest(file)}
    if owner != owner_of(folder):
        write_owner(folder, owner)


def write_owner(folder: Path, owner: Mapping[str, str]) -> None:
    """Write whose data a folder holds; raises `StorageError`."""
    try:
        write_private(folder / OWNER, json.dumps(owner) + "\n")
    except OSError as error:
        raise StorageError(f"cannot write {folder / OWNER}: {error.strerror}") from error


def file_digest(file: Path) -> str:
    """Return the digest of a tree file; "" where it cannot be read."""
    try:
        return short(file.read_bytes())
    except OSError:
        return ""


def short(what: str | bytes) -> str:
    """Return a short digest.

    >>> short("a") == short(b"a")
    True
    """
    data = what.encode() if isinstance(what, str) else what
    return blake2b(data, digest_size=4).hexdigest()


def store_for(
    tree: SupervisorSpec,
    environ: Mapping[str, str],
    name: str,
    file: Path,
    given: Path | None = None,
) -> FolderStore | None:
    """Open the store of a tree for writing; None if it has no durable worker.

    Args:
        tree: the tree, as it was loaded.
        environ: the environment variables.
        name: the name of the tree.
        file: the file that it was loaded from.
        given: the folder; without one that of this name that is this file's.

    Raises:
        StorageError: it cannot be opened, it is another tree's, or another process has it open for
            writing.
    """
    from ssm_cli.spec.model import Persist, WorkerSpec, walk  # noqa: PLC0415 - with a tree alone

    seen = set()
    for _, spec in walk(tree):
        if isinstance(spec, WorkerSpec):
            seen.add(spec.options.persist)
    if seen <= {Persist.NONE}:
        return None
    from ssm_cli.storage.folder import FolderStore  # noqa: PLC0415 - SQLite, for few

    folder = own_folder(environ, name, file) if given is None else given
    check_owner(folder, file)
    store = FolderStore(folder)
    try:
        note_owner(folder, name, file)
    except StorageError:
        store.close()
        raise
    return store
