"""The data folder of a tree, opened if the tree has durable workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssm_cli.cli.environment import state_folder

if TYPE_CHECKING:
    from ssm_cli.spec.model import SupervisorSpec
    from ssm_cli.storage.folder import FolderStore

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="where states and journals live; default: by the tree's name"
    ),
]


@dataclass(frozen=True)
class Kept:
    """Options of `ssm run`: the data folder, and whether steps are verified."""

    data: Path | None = None
    verify_pure: bool = False

    def arguments(self) -> list[str]:
        """Return these settings as command-line options."""
        where = [] if self.data is None else ["--data", str(self.data.absolute())]
        return [*where, *(["--verify-pure"] if self.verify_pure else [])]


def folder_of(environ: Mapping[str, str], name: str, given: Path | None = None) -> Path:
    """Return the given folder, or the default one of the tree of that name.

    >>> folder_of({"XDG_STATE_HOME": "/state"}, "kv")
    PosixPath('/state/ssm/data/kv')
    """
    return state_folder(environ) / "data" / name if given is None else given


def store_for(
    tree: SupervisorSpec, environ: Mapping[str, str], name: str, given: Path | None = None
) -> FolderStore | None:
    """Open the store of a tree for writing; None if it has no durable worker.

    Raises:
        StorageError: it cannot be opened, or another process has it open for writing.
    """
    from ssm_cli.spec.model import Persist, WorkerSpec, walk  # noqa: PLC0415 - with a tree alone

    seen = set()
    for _, spec in walk(tree):
        if isinstance(spec, WorkerSpec):
            seen.add(spec.options.persist)
    if seen <= {Persist.NONE}:
        return None
    from ssm_cli.storage.folder import FolderStore  # noqa: PLC0415 - SQLite, for few

    return FolderStore(folder_of(environ, name, given))
