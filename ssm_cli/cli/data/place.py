"""Which folder holds the data of a tree, and opening it where the tree has something to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    """What the options of `ssm run` say: where data is kept, and whether steps are checked."""

    data: Path | None = None
    verify_pure: bool = False

    def arguments(self) -> list[str]:
        """The options that say the same."""
        where = [] if self.data is None else ["--data", str(self.data.absolute())]
        return [*where, *(["--verify-pure"] if self.verify_pure else [])]


def states_path(environ: Mapping[str, str]) -> Path:
    """The user's folder for the data of all trees; it need not be there."""
    given = environ.get("XDG_STATE_HOME")
    if given:
        return Path(given) / "ssm" / "data"
    from platformdirs import user_state_path  # noqa: PLC0415 - only without that variable

    return user_state_path("ssm") / "data"


def folder_of(environ: Mapping[str, str], name: str, given: Path | None = None) -> Path:
    """The folder of the tree of that name, or the one that was given.

    >>> folder_of({"XDG_STATE_HOME": "/state"}, "kv")
    PosixPath('/state/ssm/data/kv')
    """
    return states_path(environ) / name if given is None else given


def store_for(
    tree: SupervisorSpec, environ: Mapping[str, str], name: str, given: Path | None = None
) -> FolderStore | None:
    """The store of a tree, opened for writing; None where no worker of it keeps anything.

    Raises:
        StorageError: it cannot be opened, or another process writes there.
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
