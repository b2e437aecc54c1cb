"""`ssm attach`: the prompt and the living view over a tree of another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ssm_cli.cli.where import say
from ssm_cli.errors import CallTimeout, NoTree, SsmError
from ssm_cli.http.client.connection import open_stream, parts
from ssm_cli.http.client.node import HttpNode, report_of
from ssm_cli.http.client.wire import EventParser, Response
from ssm_cli.runtime.views import Kind, NodeView, Report
from ssm_cli.spec.model import Supervisor, SupervisorSpec

if TYPE_CHECKING:
    from ssm_cli.cli.environment import Environment

AGAIN_S = 0.5  # between two attempts to reach a tree that went away
LOOK_S = 2.0  # how long the view of a tree may keep the screen waiting
Reader = Callable[[Report], None]


def session(env: Environment, near: HttpNode, ui: str | None) -> int:
    """The prompt and the living view over a running tree; leaving it leaves the tree.

    Returns what the session returns; 7 if the root gave up meanwhile.
    """
    from ssm_cli.repl.session import run_session  # noqa: PLC0415 - 120 ms

    node = AttachedNode(near)
    title = f"{node.name} ({Path(node.file).name})" if node.file else node.name
    code = run_session(node, env, title=title, ui=ui)
    if node.running:
        say(env, f"detached; {node.name} runs on; `ssm stop {node.name}` stops it")
    return code


class AttachedNode(HttpNode):
    """A running tree as a session sees one: it has reports, and can go away and come back.

    While it is away its nodes are shown as unreachable, and it is looked for twice a second.
    Whoever started the session ends it by `stop`, which leaves the tree running; a `stop` from
    any other task is a command, and stops the tree.
    """

    def __init__(self, near: HttpNode) -> None:
        super().__init__(near.connection.address, near.connection.token, near.name)
        info = near.info()
        self.file = str(info["file"])
        self.running = True
        self.gave_up = False
        self.storage_error = None
        self._readers: list[Reader] = []
        self._seq = int(info["seq"])
        self._instance = str(info["instance"])
        self._view = near.tree()
        self._owner: asyncio.Task[object] | None = None
        self._detached: asyncio.Event | None = None
        near.connection.close()

    @property
    def spec(self) -> SupervisorSpec:
        """The root alone: it runs already, so nothing is to be counted."""
        return Supervisor(self._view.id)

    def start(self) -> None:
        """It runs; only remember who begins the session."""
        self._owner = asyncio.current_task()
        self._detached = asyncio.Event()

    def stop(self, reason: object = "shutdown") -> None:
        """Detach, if the session ends; else stop the tree."""
        if self._detached is not None and asyncio.current_task() is self._owner:
            self._detached.set()
        else:
            super().stop(reason)

    def subscribe(self, reader: Reader) -> Callable[[], None]:
        """Call `reader` with each report from now on; the result ends that."""
        self._readers.append(reader)
        return lambda: self._readers.remove(reader)

    def tree(self) -> NodeView:
        """The tree as it stands; as it last stood, and unreachable, while it is away."""
        try:
            self._view = self.look(LOOK_S)
        except (NoTree, CallTimeout):
            self._view = unreachable(self._view)
        return self._view

    def names(self, kind: Kind | None = None) -> Sequence[str]:
        """The names; those last seen while it is away."""
        try:
            return super().names(kind)
        except (NoTree, CallTimeout):
            return [view.id for view in _walk(self._view) if kind in (None, view.kind)]

    async def serve(self) -> None:
        """Hand the reports to the readers until the tree is down, or the session detaches."""
        assert self._detached is not None
        leaving = asyncio.ensure_future(self._detached.wait())
        following = asyncio.ensure_future(self._follow())
        try:
            await asyncio.wait({leaving, following}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            leaving.cancel()
            following.cancel()

    async def _follow(self) -> None:
        while self.running:
            try:
                await self._stream()
            except (OSError, NoTree, TimeoutError):
                self.connection.close()
            if self.running:
                await asyncio.sleep(AGAIN_S)
                self._renew()

    def _renew(self) -> None:
        """If another tree has come in its place, its reports count from the beginning."""
        try:
            info = self.info(LOOK_S)
        except SsmError:
            return  # it is still away; the next attempt asks again
        if info["instance"] != self._instance:
            self._instance, self._seq = str(info["instance"]), 0

    async def _stream(self) -> None:
        """Read the reports for as long as the connection lasts."""
        reader, writer = await open_stream(self.connection.address)
        response, parser = Response(), EventParser()
        try:
            headers = {"last-event-id": str(self._seq)}
            writer.write(self.connection.encoded("GET", "/v1/reports", b"", headers))
            async for part in parts(reader, response):
                if part.status == 200:
                    for record in parser.feed(part.take()):
                        self._take(record)
        finally:
            writer.close()
        if response.status not in (0, 200):
            raise NoTree(f"{self.name} refused the reports with status {response.status}")

    def _take(self, record: dict[str, object]) -> None:
        if record["type"] == "dropped":
            self._seq = int(str(record["next"])) - 1
            return
        report = report_of(record)
        self._seq = report.seq
        for reader in tuple(self._readers):
            reader(report)
        if report.event == "gave_up" and "/" not in report.path:
            self.gave_up = True
        if report.event == "stopped":
            self.running = False


def unreachable(view: NodeView) -> NodeView:
    """A tree that cannot be reached, as it last stood.

    >>> unreachable(NodeView("kv1", "kv1", "worker", "running")).state
    'unreachable'
    """
    below = tuple(unreachable(child) for child in view.children)
    return msgspec.structs.replace(view, state="unreachable", children=below)


def _walk(view: NodeView) -> list[NodeView]:
    return [view, *(below for child in view.children for below in _walk(child))]
