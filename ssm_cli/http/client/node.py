"""`HttpNode`: a tree of another process, asked as if it were a node of this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ssm_cli.codec.json import jsonable
from ssm_cli.commands.values import StateText, given_of
from ssm_cli.errors import CommandError
from ssm_cli.http.client.answers import (
    InfoAnswer,
    Missed,
    ReportHead,
    StatusAnswer,
    checked,
    report_of,
)
from ssm_cli.http.client.calls import HttpCalls
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.specs import text_of_spec
from ssm_cli.http.client.wire import EventParser
from ssm_cli.http.routes import BY_EFFECT
from ssm_cli.runtime.calling.refs import Ref
from ssm_cli.runtime.engine.pending import checked_seconds
from ssm_cli.runtime.views import ChildName, NodeView, Report, Status
from ssm_cli.spec.model import ChildSpec, Labelled, own_child
from ssm_cli.supervision.planning import Applied, TreePlan

if TYPE_CHECKING:
    from ssm_cli.runtime.api import NodeApi

STOPPING_S = 10.0


class HttpNode:
    """A running tree, reached over HTTP. Implements `NodeApi`, and blocks while it waits.

    Args:
        address: where it is.
        token: its token for TCP.
        name: its name, if that is known already.

    Attributes:
        calls: its calls and casts, and every other request, on one connection.
    """

    def __init__(self, address: Address, token: str | None = None, name: str = "") -> None:
        self.calls = calls = HttpCalls(address, token)
        self.connection = calls.connection
        self.call, self.call_value = calls.call, calls.call_value
        self.acall, self.acall_value = calls.acall, calls.acall_value
        self.ask, self.answered = calls.ask, calls.answered
        self.aperform = calls.aperform
        self.quarantined = partial(calls.perform, "quarantined")
        self.release_input = partial(calls.perform, "release_input")
        routed = {effect: partial(calls.perform, effect) for effect in BY_EFFECT}
        rows = cast("NodeApi", SimpleNamespace(**routed))  # each answers as its route says
        self.constructors, self.names, self.whereis = rows.constructors, rows.names, rows.whereis
        self.which_children, self.count_children = rows.which_children, rows.count_children
        self.get_childspec, self.restart_child = rows.get_childspec, rows.restart_child
        self.delete_child, self.statistics = rows.delete_child, rows.statistics
        self.suspend, self.resume, self.kill = rows.suspend, rows.resume, rows.kill
        self.trace, self.keep, self.change_code = rows.trace, rows.keep, rows.change_code
        self.reload, self.rollback = routed["reload"], routed["rollback"]
        self.shadow, self.promote = routed["shadow"], routed["promote"]
        self.crash_reports, self.cast = rows.crash_reports, rows.cast
        self.publish, self.groups, self.members = rows.publish, rows.groups, rows.members
        self.member_values = rows.member_values
        self.joined = rows.joined
        self._name = name
        self._shown: tuple[str, Any, bytes] = ("", None, b"")

    @property
    def name(self) -> str:
        """The name others find the tree by."""
        if not self._name:
            self._name = str(self.info()["name"])
        return self._name

    def perform(self, effect: str, *args: Any, **given: Any) -> Any:
        """Carry out an effect by its name: by the method of that name, else by its route."""
        method = getattr(self, effect, None) or partial(self.calls.perform, effect)
        return method(*args, **given)

    def standing(self, at: str, *, reading: bool) -> HttpNode:
        """Return the tree at a place in time; the server says what may be asked there."""
        del reading
        node = self._beside()
        node.calls.place = at
        return node

    def stopped(self) -> str:
        """Return why a fork was stopped with the last command, "" if it was not."""
        return self.calls.stopped

    def far(self, name: str) -> tuple[str, str] | None:
        """Return None: the tree of the other process finds such names itself."""
        del name
        return None

    def reach(self, child: str) -> HttpNode:
        """Return a remote child of the tree, asked through the tree."""
        node = self._beside(child)
        node.calls.into = child
        return node

    def _beside(self, name: str = "") -> HttpNode:
        node = HttpNode(self.connection.address, name=name or self._name)
        node.connection = node.calls.connection = self.connection
        node.calls.place, node.calls.into = self.calls.place, self.calls.into
        return node

    # -- looking -------------------------------------------------------------------------------

    def tree(self) -> NodeView:
        """Return a view of the whole tree."""
        return self.look(30.0)

    def look(self, timeout_s: float) -> NodeView:
        """Return a view of the whole tree; `CallTimeout` if it takes longer than `timeout_s`."""
        view: NodeView = self.calls.perform("tree", wait_s=timeout_s)
        return view

    def info(self, timeout_s: float | None = 30.0) -> dict[str, Any]:
        """Return name, file, process id, uptime and counts of the tree."""
        found: dict[str, Any] = self.calls.perform("info", wait_s=timeout_s)
        checked(found, InfoAnswer, self.connection.address.shown)
        return found

    def reports(self, after: int = 0, last: int | None = None) -> Sequence[Report]:
        """Return the kept reports after number `after`, oldest first; at most `last`."""
        found = self.calls.perform("log", after, last)
        return [report_of(record, self.connection.address.shown) for record in found]

    def follow(self, after: int = 0, reader: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records of the report stream after number `after`, as they are received.

        Ends with the tree. The last record of a reader that was too slow has the type `dropped`.
        Raises `BrokenPipeError` once nobody reads at the other end of the descriptor `reader`.
        """
        parser, where = EventParser(), self.connection.address.shown
        headers = {"last-event-id": str(after)}
        for data in self.connection.stream("/v1/reports", headers, self.calls.refuse, reader):
            for record in parser.feed(data):
                dropped = record.get("type") == "dropped"
                checked(record, Missed if dropped else ReportHead, where)
                yield record

    def encode(self, worker: str, value: Any) -> bytes:
        """Return a state as the worker's codec encoded it if just read; else encode it as JSON."""
        shown_worker, shown_value, text = self._shown
        if shown_worker == worker and shown_value is value:
            return text
        return msgspec.json.encode(jsonable(value))

    def shown(self, worker: str, value: Any) -> str:
        """Return the same as text."""
        return self.encode(worker, value).decode("utf-8", "backslashreplace")

    def data(self, worker: str, value: Any) -> object:
        """Return a value as JSON-ready data."""
        del worker
        return jsonable(value)

    def get_members(self, group: str) -> list[str]:
        """Return the members of a group, in the order in which they joined."""
        return [member.worker for member in self.members(group)]

    def lookup(self, group: str) -> dict[str, Any]:
        """Return the value that each member of a group has joined with, as data, redacted."""
        return {member.worker: member.value for member in self.member_values(group)}

    def worker(self, name: str) -> Ref[Any, Any]:
        """Return a ref to a worker; values go to it, and come from it, as JSON has them.

        Raises:
            NoProc: there is no worker of that name.
        """
        self.constructors(name)
        return Ref(self, name)

    # -- supervisors ---------------------------------------------------------------------------

    def start_child(
        self,
        supervisor: str,
        spec: ChildSpec | Labelled | str,
        args: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Start a child from a spec, a label (with `args`), or the text of a spec."""
        if args is not None:
            spec = own_child(spec, args)
        text = spec if isinstance(spec, str) else text_of_spec(spec)
        child: str | None = self.calls.perform("start_child", supervisor, text)
        return child

    def plan(self, tree: Any = None, *, specs_only: bool = False) -> TreePlan:
        """Return what `apply` would do."""
        asked = file_there(tree), specs_only or None
        found: TreePlan = self.calls.perform("plan", *asked, wait_s=None)
        return found

    def apply(
        self, tree: Any = None, *, plan: TreePlan | str = "", specs_only: bool = False
    ) -> Applied:
        """Make the tree that runs the one of a file, which is read where the tree runs."""
        digest = plan if isinstance(plan, str) else plan.digest
        asked = file_there(tree), specs_only or None, digest or None
        done: Applied = self.calls.perform("apply", *asked, wait_s=None)
        return done

    def terminate_child(self, supervisor: str, child: ChildName) -> None:
        """Stop a child and keep its spec, except for temporary children."""
        name, starts = (child, None) if isinstance(child, str) else (child.id, child.starts)
        self.calls.perform("terminate_child", supervisor, name, starts)

    # -- sys -----------------------------------------------------------------------------------

    def get_state(self, worker: str) -> Any:
        """Return the worker's state as JSON data."""
        found = self.calls.perform("get_state", worker)
        self._shown = (worker, found.value, found.text.encode())
        return found.value

    def replace_state(self, worker: str, state: Any) -> Any:
        """Replace the worker's state; it is sent as JSON."""
        if isinstance(state, StateText):
            state = given_of(state.text)  # as JSON has it; the node knows the type
        self.calls.perform("replace_state", worker, state)
        return state

    def stop(self, reason: object = "shutdown", *, keep_remote: bool = False) -> None:
        """Stop the whole tree in order, and wait until its listeners are closed."""
        del reason  # from afar a tree is stopped in one way
        self.calls.perform("stop", keep_remote or None, wait_s=None)
        self.connection.until_closed(STOPPING_S)

    def get_status(self, worker: str) -> Status:
        """Return a worker's status; its state and its events are JSON data."""
        found: StatusAnswer = self.calls.perform("get_status", worker)
        self._shown = (worker, found.status.state, found.text.encode())
        return found.status

    def stop_process(
        self, name: str, reason: object = "normal", timeout_s: float | None = None
    ) -> None:
        """Stop one worker or supervisor in order; `reason` is sent as text."""
        checked_seconds(timeout_s)
        self.calls.perform("stop_process", name, str(reason), timeout_s)


def file_there(tree: object) -> str | None:
    """Return the path of a tree file for another process; None for that of its own tree."""
    if tree is None:
        return None
    if not isinstance(tree, str | Path):
        raise CommandError("another process cannot be sent a tree: name the file of it")
    return str(Path(tree).resolve())
