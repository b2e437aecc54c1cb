"""The handlers of the routes. A handler has the name of its route's `handler`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.commands.records import done_record, report_record
from ssm_cli.commands.values import child_spec_of, set_state, state_of
from ssm_cli.errors import CommandError, QueueFull, StorageError
from ssm_cli.http.asking import ask_supervisor, value_text
from ssm_cli.http.exchange import Stream
from ssm_cli.http.slices import (
    SLICE,
    array_parts,
    each_name,
    each_report,
    finished,
    tree_parts,
    with_steps,
)
from ssm_cli.http.statuses import HttpError
from ssm_cli.runtime.durable.quarantine import Quarantined
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import ProcessRef

MAX_LOG = 10_000


class About(msgspec.Struct, frozen=True):
    """What a tree publishes about itself besides its nodes."""

    file: str = ""
    pid: int = 0
    instance: str = ""


class Request(msgspec.Struct):
    """One request: its path parameters, its query and its body."""

    names: dict[str, str]
    query: dict[str, Any]
    body: bytes = b""
    is_json: bool = False

    @property
    def name(self) -> str:
        """The worker, supervisor or node in the path."""
        return self.names["name"]

    @property
    def text(self) -> str:
        """The body as text."""
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HttpError(400, f"the body is no UTF-8: {error}") from error


class Requests:
    """Answers every route except `call` and `reports`, which wait or stream."""

    def __init__(self, node: Node, about: About) -> None:
        self._node = node
        self._about = about
        self._readiness = node.readiness()

    async def _ask(self, supervisor: str, verb: str, *args: Any) -> Any:
        return await ask_supervisor(self._node, supervisor, verb, *args)

    def cast(self, request: Request) -> object:
        """Cast an input; one for an unknown name is dropped, as in OTP."""
        message: Any = request.body
        if self._node.exists(request.name):
            if request.is_json:
                message = self._node.decode(request.name, request.body, "json")
            try:
                self._node.cast_nowait(request.name, message)
            except QueueFull:
                self._node.cast(request.name, message)  # what waits is served first
        return done_record("cast", {"worker": request.name})

    def get_state(self, request: Request) -> object:
        """Return the redacted state as text and as JSON."""
        state = self._node.get_state(request.name)
        text = value_text(self._node, request.name, state)
        head = {"v": 1, "type": "state", "worker": request.name}
        return {**head, "text": text, "value": self._node.data(request.name, state)}

    def replace_state(self, request: Request) -> object:
        """Replace the state by that of the body."""
        set_state(self._node, request.name, request.text)
        return done_record("set", {"worker": request.name})

    def statistics(self, request: Request) -> object:
        """Return the worker's counters."""
        return self._node.statistics(request.name)

    def constructors(self, request: Request) -> object:
        """Return the constructors of the worker's inputs."""
        return self._node.constructors(request.name)

    def trace(self, request: Request) -> object:
        """Turn tracing on or off."""
        self._node.trace(request.name, request.query.get("on", True))
        return done_record("trace", {"worker": request.name})

    def get_status(self, request: Request) -> object:
        """Return the status of a worker, and its state as text."""
        status = self._node.get_status(request.name)
        text = value_text(self._node, request.name, status.state)
        shown = msgspec.structs.asdict(status) | {
            "state": self._node.data(request.name, status.state),
            "log": [
                {"kind": e.kind, "value": self._node.data(request.name, e.value)}
                for e in status.log
            ],
        }
        return {"v": 1, "type": "status", "status": shown, "text": text}

    def keep(self, request: Request) -> object:
        """Keep the last events of a worker."""
        self._node.keep(request.name, request.query.get("events", 0))
        return done_record("keep", {"worker": request.name})

    def change_code(self, request: Request) -> object:
        """Run the worker's `code_change`."""
        extra = state_of(request.text, None) if request.body else None
        self._node.change_code(request.name, request.query.get("old_version", ""), extra)
        return done_record("change-code", {"worker": request.name})

    def crash_reports(self, request: Request) -> object:
        """Return the last crash reports."""
        worker, last = request.query.get("worker"), request.query.get("last")
        return list(self._node.crash_reports(worker, last))

    def stop_process(self, request: Request) -> object:
        """Stop a worker or supervisor in order."""
        reason = request.query.get("reason", "normal")
        self._node.stop_process(request.name, reason, request.query.get("timeout"))
        return done_record("stop-process", request.names)

    def whereis(self, request: Request) -> object:
        """Return the process registered under a name, or None."""
        return self._node.whereis(request.name)

    def suspend(self, request: Request) -> object:
        """Suspend a worker or supervisor."""
        self._node.suspend(request.name)
        return done_record("suspend", request.names)

    def resume(self, request: Request) -> object:
        """Resume a worker or supervisor."""
        self._node.resume(request.name)
        return done_record("resume", request.names)

    def kill(self, request: Request) -> object:
        """Kill a worker or supervisor."""
        self._node.kill(request.name)
        return done_record("kill", request.names)

    async def which_children(self, request: Request) -> object:
        """Return the children of a supervisor."""
        return Stream(array_parts(iter(await self._ask(request.name, "which_children"))))

    async def count_children(self, request: Request) -> object:
        """Count the children of a supervisor."""
        return await self._ask(request.name, "count_children")

    async def start_child(self, request: Request) -> object:
        """Start a child from the spec or label in the body."""
        spec = child_spec_of(request.text)
        if not spec:
            raise CommandError("the body is empty; send a label, or a mapping as in a tree file")
        return _child("start-child", await self._ask(request.name, "start_child", spec))

    async def get_childspec(self, request: Request) -> object:
        """Return the spec of a child."""
        return await self._ask(request.name, "get_childspec", request.names["child"])

    async def terminate_child(self, request: Request) -> object:
        """Stop a child; `starts` identifies the process of a dynamic one."""
        child: str | ProcessRef = request.names["child"]
        starts = request.query.get("starts")
        if starts is not None:
            child = ProcessRef(request.names["child"], starts)
        await self._ask(request.name, "terminate_child", child)
        return done_record("terminate-child", request.names)

    async def restart_child(self, request: Request) -> object:
        """Start a stopped child."""
        child = request.names["child"]
        return _child("restart-child", await self._ask(request.name, "restart_child", child))

    async def delete_child(self, request: Request) -> object:
        """Delete the spec of a stopped child."""
        await self._ask(request.name, "delete_child", request.names["child"])
        return done_record("delete-child", request.names)

    async def info(self, _request: Request) -> object:
        """Return the record that `ssm ls` shows of a tree."""
        listing = self._node.listing()
        census, root = await finished(listing.census()), listing.glance(listing.root)
        assert census is not None
        assert root is not None
        return {
            "v": 1,
            "type": "info",
            "name": self._node.name,
            **msgspec.to_builtins(self._about),
            "state": root.view.state,
            "uptime_s": round(root.view.uptime_s, 3),
            "workers": census.workers - census.remotes,
            "restarts": census.restarts,
            "seq": self._node.last_seq,
        }

    def tree(self, _request: Request) -> object:
        """Return the tree as in `ssm tree -o json`, with the steps of its workers."""
        listing = self._node.listing()
        if listing.nodes <= SLICE:
            return with_steps(self._node.tree())
        return Stream(tree_parts(listing))

    def names(self, request: Request) -> object:
        """Return the names of all nodes."""
        return Stream(array_parts(each_name(self._node.listing(), request.query.get("kind"))))

    def log(self, request: Request) -> object:
        """Return the kept reports."""
        last = min(request.query.get("last", MAX_LOG), MAX_LOG)
        reports = each_report(self._node, request.query.get("after", 0), last)
        return Stream(array_parts(map(report_record, reports)))

    def quarantined(self, _request: Request) -> object:
        """Return the inputs in quarantine."""
        return [_quarantined(one) for one in self._node.quarantined()]

    def release_input(self, request: Request) -> object:
        """Release an input from quarantine."""
        number = request.names["number"]
        try:
            return _quarantined(self._node.release_input(int(number)))
        except (ValueError, StorageError) as error:
            raise HttpError(404, f"no input in quarantine has the number {number}") from error

    def live(self, _request: Request) -> object:
        """Report the process as live; it would not answer otherwise."""
        return {"v": 1, "type": "health", "status": "ok"}

    async def ready(self, _request: Request) -> object:
        """Report whether every permanent child runs; 503 if not."""
        await finished(self._readiness.refresh())
        if not self._readiness.is_ready():
            raise HttpError(503, f"something that should run in {self._node.name} does not")
        return {"v": 1, "type": "health", "status": "ok"}


def handlers(requests: Requests) -> dict[str, Callable[[Request], object]]:
    """Return the handlers by name."""
    kind = type(requests)
    return {name: getattr(requests, name) for name in vars(kind) if not name.startswith("_")}


def _quarantined(one: Quarantined) -> object:
    """Return the record of an input in quarantine, its bytes as text."""
    text = one.input.decode("utf-8", "backslashreplace")
    return msgspec.structs.asdict(one) | {"v": 1, "type": "quarantined", "input": text}


def _child(verb: str, name: str | None) -> object:
    """Return a record with the name of a started child; null if its init answered ignore."""
    return done_record(verb, {}) | {"child": name}
