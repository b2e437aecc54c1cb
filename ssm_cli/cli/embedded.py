"""An embedded node: the listeners of `ssm run` for a node inside an asyncio program of yours."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ssm_cli.cli.data.place import claim
from ssm_cli.cli.doors import Doors
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.opening import open_doors, renewal, served_by, tls_of
from ssm_cli.errors import CommandError, SsmError
from ssm_cli.http.served import Entrance
from ssm_cli.runtime.node import Node
from ssm_cli.storage.folder import FolderStore


class OpenNode:
    """A node that other processes reach for as long as an `async with` block runs.

    Args:
        node: started for the block if it does not run yet, and then stopped at its end.
        before: what the node was opened by before.
        environ: the environment variables, for the folders of sockets and tokens; None for those
            of this process.
        doors: the fields of `Doors`, the listeners that `ssm run` has.

    Attributes:
        node: the node.
        url: of HTTP on TCP, with the port that was bound; "" without.
        path: of the Unix socket that other shells find; None without.
        renew: reads the TLS certificate again; None without one.
    """

    def __init__(
        self,
        node: Node,
        before: OpenNode | None = None,
        environ: Mapping[str, str] | None = None,
        **doors: Any,
    ) -> None:
        http = doors.get("http")
        if http is not None and not isinstance(http, str):
            raise TypeError(f'http={http!r}: expected "HOST:PORT", as "127.0.0.1:8080"')
        self.node, self._doors, self._before = node, Doors(**doors), before
        self._said = io.StringIO()
        self._env = Environment(
            io.StringIO(), io.StringIO(), self._said, os.environ if environ is None else environ
        )
        self._entrances: tuple[Entrance, ...] = ()
        self._serving: asyncio.Task[None] | None = None
        self._stops = False
        self.url = ""
        self.path: Path | None = None
        self.renew: Callable[[], None] | None = None

    @property
    def said(self) -> list[str]:
        """What `ssm run` would have printed: where HTTP is served, which sockets were stale."""
        return self._said.getvalue().splitlines()

    @property
    def is_open(self) -> bool:
        """Whether clients are served."""
        task = self._serving
        return task is not None and not task.done() and not task.get_loop().is_closed()

    async def __aenter__(self) -> Self:
        """Open the listeners, start the tree, and serve both from the running loop.

        Raises:
            SsmError: the node is open already.
            CommandError: a tree of that name runs, or a listener cannot be opened.
            StorageError: the folder of its `FolderStore` holds the data of another tree.
            StartFailed: the tree did not start. Nothing stays open then.
        """
        self.give_way()
        self._claim()
        try:
            tls = tls_of(self._doors)
            self._entrances = open_doors(self._doors, self._env, self.node.name, tls)
        except CommandError as error:
            raise CommandError(as_arguments(str(error))) from error
        self.renew = renewal(tls, self._env)
        self.url = "".join(entrance.url for entrance in self._entrances)
        self.path = next((one.path for one in self._entrances if one.path is not None), None)
        self._stops = not self.node.running
        try:
            if self._stops:
                self.node.start(wait=False)
        except BaseException:
            self._close()
            raise
        served = served_by(self.node, self._entrances, program())
        self._serving = asyncio.get_running_loop().create_task(served.serve())
        await self.node.until_up()
        if self.node.end_error is not None:
            await asyncio.wait({self._serving})
            self._close()
            raise self.node.end_error
        return self

    def _claim(self) -> None:
        """Refuse a data folder that is another tree's, as `ssm run` does."""
        store = self.node.store
        if isinstance(store, FolderStore) and not self.node.running:
            claim(store.path, self.node.name)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the tree in order, if it was started here, and close the listeners.

        Raises what has ended the listeners, if anything has.
        """
        serving = self._serving
        assert serving is not None
        try:
            if self._stops:
                self.node.stop(drain=kind is None)
            else:
                serving.cancel()
            await asyncio.wait({serving})
        finally:
            self._close()
        if not serving.cancelled():
            serving.result()

    async def until_down(self) -> None:
        """Wait until the tree is down: `ssm stop`, or its root has given up."""
        assert self._serving is not None
        await asyncio.wait({self._serving})

    def give_way(self) -> None:
        """Close what is left of a loop that was closed; raise `SsmError` while one serves."""
        if self._before is not None:
            self._before.give_way()
            self._before = None
        if self.is_open:
            raise SsmError(
                f"{self.node.name} is open already; open it once, around all that use it"
            )
        self._close()

    def _close(self) -> None:
        for entrance in self._entrances:
            entrance.close()


def program() -> str:
    """Return the file of the program that runs, for `ssm ls`; "" where there is none."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return str(Path(file).absolute()) if isinstance(file, str) else ""


def as_arguments(text: str) -> str:
    """Return what an error says of options of `ssm run`, in the words of `node.open`.

    >>> as_arguments("--http needs --tls-cert, or --tls-password-file")
    'http= needs tls_cert=, or tls_password='
    """
    for option, name in (("--tls-password-file", "--tls-password"), ("-host", "-hosts")):
        text = text.replace(option, name)
    return re.sub(r"--([a-z][a-z-]*)", lambda found: f"{found[1].replace('-', '_')}=", text)
