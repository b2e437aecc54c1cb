"""`ssm attach`: the prompt and the live view over a tree of another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec

from ssm_cli.cli.environment import Environment
from ssm_cli.cli.faces import Face
from ssm_cli.cli.where import say
from ssm_cli.errors import CallTimeout, NoTree, SsmError, message_of
from ssm_cli.exit_codes import ExitCode
from ssm_cli.http.client.answers import report_of
from ssm_cli.http.client.connection import is_stream, open_stream, parts
from ssm_cli.http.client.node import HttpNode
from ssm_cli.http.client.wire import EventParser, Response
from ssm_cli.repl.life import RunningNode
from ssm_cli.repl.session import run_session
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.looking.listing import Rows
from ssm_cli.runtime.views import Kind, NodeView, Report
from ssm_cli.spec.model import Supervisor, SupervisorSpec

AGAIN_S = 0.5  # between two attempts to reconnect
FORWARDED = {name for name in vars(NodeApi) if not name.startswith("_")} | {
    "call_value", "acall_value", "aperform", "data",
}  # fmt: skip
"""What is asked of the tree as it stands, but for what an attached session does itself."""
LOOKS = frozenset({"timeline", "rows", "branches", "census", "names"})
LOOK_S = 2.0  # how long a request for the view may block the screen
Reader = Callable[[Report], None]


def session(env: Environment, near: HttpNode, face: Face) -> int:
    """Run the prompt and the live view over a running tree; leaving it leaves the tree running.

    Returns the exit code of the session; 7 if the root gave up meanwhile, 5 if the tree is gone.
    """
    node = AttachedNode(near)
    title = f"{node.name} ({Path(node.file).name})" if node.file else node.name
    with env.never_waiting() as own:
        code = run_session(cast("RunningNode", node), own, title=title, **face.shown)
    if not node.running:
        return code
    try:
        near.info(LOOK_S)
    except NoTree:
        say(env, f"{node.name} went away; `ssm ls` shows what runs")
        return code or ExitCode.NO_TREE
    except SsmError as error:
        say(env, f"detached; it is not known whether {node.name} runs on: {message_of(error)}")
        return code
    say(env, f"detached; {node.name} runs on; `ssm stop {node.name}` stops it")
    return code


class AttachedNode:
    """The client side of an attached session: forwards requests, follows reports, reconnects.

    While the tree is unreachable its nodes are shown so, and a reconnect is tried twice a second.
    `stop` by the task that started the session detaches; `stop` by any other task is a command
    and stops the tree.
    """

    def __init__(self, near: HttpNode) -> None:
        info = near.info()
        self._near = near
        self.name = near.name
        self.file = str(info["file"])
        self.running = True
        self.gave_up = False
        self.storage_error = self.end_error = None
        self._readers: list[Reader] = []
        self._seq = int(info["seq"])
        self._instance = str(info["instance"])
        self._view: NodeView | None = None
        self._names: dict[Kind | None, Sequence[str]] = {}
        self._owner: asyncio.Task[object] | None = None
        self._detached: asyncio.Event | None = None
        for asked in FORWARDED - vars(AttachedNode).keys():
            setattr(self, asked, getattr(near, asked))

    @property
    def spec(self) -> SupervisorSpec:
        """The root alone, without children: the tree runs, so no start is to be counted."""
        root: Rows = self._near.perform("rows", {"names": ()})
        return Supervisor(root.root)

    def start(self, *, wait: bool = True) -> None:
        """Remember the task that begins the session; the tree runs already."""
        del wait
        self._owner = asyncio.current_task()
        self._detached = asyncio.Event()

    def stop(self, reason: object = "shutdown", *, keep_remote: bool = False) -> None:
        """Detach if the task of the session asks; else stop the tree."""
        if self._detached is not None and asyncio.current_task() is self._owner:
            self._detached.set()
        else:
            self._near.stop(reason, keep_remote=keep_remote)

    def perform(self, effect: str, *args: Any, **given: Any) -> Any:
        """Carry out an effect; one that the screen looks by may not block it for long."""
        if effect in LOOKS:
            return self._near.calls.perform(effect, *args, wait_s=LOOK_S, **given)
        return self._near.perform(effect, *args, **given)

    def subscribe(self, reader: Reader) -> Callable[[], None]:
        """Call `reader` with each report from now on; the result unsubscribes it."""
        self._readers.append(reader)
        return lambda: self._readers.remove(reader)

    def tree(self) -> NodeView:
        """Return the current tree; the last one seen, marked unreachable, if it does not answer."""
        try:
            self._view = self._near.look(LOOK_S)
        except (NoTree, CallTimeout):
            if self._view is None:
                raise
            self._view = unreachable(self._view)
        return self._view

    def names(self, kind: Kind | None = None) -> Sequence[str]:
        """Return the names; those last seen if the tree does not answer."""
        with suppress(NoTree, CallTimeout):  # the screen shows that it is away
            self._names[kind] = self._near.names(kind)
        return self._names.get(kind, ())

    async def serve(self) -> None:
        """Deliver reports to the readers until the tree is down, or the session detaches."""
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
                self._near.connection.close()
            if self.running:
                await asyncio.sleep(AGAIN_S)
                self._renew()

    def _renew(self) -> None:
        """Follow from the first report if another instance of the tree runs now."""
        try:
            info = self._near.info(LOOK_S)
        except SsmError:
            return  # it is still away; the next attempt asks again
        if info["instance"] != self._instance:
            self._instance, self._seq = str(info["instance"]), 0

    async def _stream(self) -> None:
        connection = self._near.connection
        reader, writer = await open_stream(connection.address)
        response, parser = Response(), EventParser()
        try:
            headers = {"last-event-id": str(self._seq)}
            writer.write(connection.encoded("GET", "/v1/reports", b"", headers))
            async for part in parts(reader, response):
                if is_stream(part):
                    for record in parser.feed(part.take()):
                        self._take(record)
        finally:
            writer.close()
        if response.status and not is_stream(response):
            self._near.calls.refuse(response)

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
    """Return a tree with all its nodes marked unreachable.

    >>> unreachable(NodeView("kv1", "kv1", "worker", "running")).state
    'unreachable'
    """
    below = tuple(unreachable(child) for child in view.children)
    return msgspec.structs.replace(view, state="unreachable", children=below)
