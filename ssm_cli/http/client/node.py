"""`HttpNode`: a tree of another process, asked as if it were a node of this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from ssm_cli.codec.json import jsonable
from ssm_cli.codec.port import Constructor
from ssm_cli.commands.values import StateText
from ssm_cli.http.client.answers import (
    DoneAnswer,
    InfoAnswer,
    Missed,
    ReportHead,
    StartedChild,
    StateAnswer,
    StatusAnswer,
    checked,
    report_of,
)
from ssm_cli.http.client.calls import (
    HttpCalls,
    child_path,
    node_path,
    supervisor_path,
    worker_path,
)
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.specs import text_of_spec
from ssm_cli.http.client.wire import EventParser
from ssm_cli.runtime.views import (
    ChildInfo,
    ChildName,
    ChildSpecView,
    Counts,
    CrashReport,
    Kind,
    NodeView,
    ProcessRef,
    Report,
    Statistics,
    Status,
)
from ssm_cli.spec.model import ChildSpec

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
        self.cast, self.ask = calls.cast, calls.ask
        self._name = name
        self._shown: tuple[str, Any, bytes] = ("", None, b"")

    @property
    def name(self) -> str:
        """The name others find the tree by."""
        if not self._name:
            self._name = str(self.info()["name"])
        return self._name

    # -- looking -------------------------------------------------------------------------------

    def constructors(self, worker: str) -> tuple[Constructor, ...]:
        """Return the constructors of the worker's inputs."""
        return self.ask("GET", f"{worker_path(worker)}/constructors", tuple[Constructor, ...])

    def names(self, kind: Kind | None = None) -> Sequence[str]:
        """Return the names of all nodes in start order."""
        query = "" if kind is None else f"?kind={kind}"
        return self.ask("GET", f"/v1/names{query}", list[str])

    def tree(self) -> NodeView:
        """Return a view of the whole tree."""
        return self.look(30.0)

    def look(self, timeout_s: float) -> NodeView:
        """Return a view of the whole tree; `CallTimeout` if it takes longer than `timeout_s`."""
        return self.ask("GET", "/v1/tree", NodeView, timeout_s=timeout_s)

    def info(self, timeout_s: float | None = 30.0) -> dict[str, Any]:
        """Return name, file, process id, uptime and counts of the tree."""
        found = self.ask("GET", "/v1/info", dict[str, Any], timeout_s=timeout_s)
        checked(found, InfoAnswer, self.connection.address.shown)
        return found

    def reports(self, after: int = 0, last: int | None = None) -> Sequence[Report]:
        """Return the kept reports after number `after`, oldest first; at most `last`."""
        query = {"after": after} | ({} if last is None else {"last": last})
        found = self.ask("GET", f"/v1/log?{urlencode(query)}", list[dict[str, Any]])
        return [report_of(record, self.connection.address.shown) for record in found]

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the inputs in quarantine: they crashed their worker too often."""
        return self.ask("GET", "/v1/quarantine", list[dict[str, Any]])

    def release_input(self, number: int) -> dict[str, Any]:
        """Release an input from quarantine and return it."""
        return self.ask("DELETE", f"/v1/quarantine/{number}", dict[str, Any])

    def follow(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the records of the report stream after number `after`, as they are received.

        Ends with the tree. The last record of a reader that was too slow has the type `dropped`.
        """
        parser, where = EventParser(), self.connection.address.shown
        headers = {"last-event-id": str(after)}
        for data in self.connection.stream("/v1/reports", headers, self.calls.refuse):
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

    def data(self, worker: str, value: Any) -> object:
        """Return a value as JSON-ready data."""
        del worker
        return jsonable(value)

    # -- supervisors ---------------------------------------------------------------------------

    def which_children(self, supervisor: str) -> list[ChildInfo]:
        """Return the children, last started first."""
        return self.ask("GET", f"{supervisor_path(supervisor)}/children", list[ChildInfo])

    def count_children(self, supervisor: str) -> Counts:
        """Count specs, active children, supervisors and workers."""
        return self.ask("GET", f"{supervisor_path(supervisor)}/count", Counts)

    def get_childspec(self, supervisor: str, child: str) -> ChildSpecView:
        """Return the child spec of `child`."""
        return self.ask("GET", child_path(supervisor, child), ChildSpecView)

    def start_child(self, supervisor: str, spec: ChildSpec | str) -> str | None:
        """Start a child from a spec, a label, or the text of a spec as in a tree file."""
        text = spec if isinstance(spec, str) else text_of_spec(spec)
        target = f"{supervisor_path(supervisor)}/children"
        return self.ask("POST", target, StartedChild, text.encode()).child

    def whereis(self, name: str) -> ProcessRef | None:
        """Return the process registered under a name, if it runs."""
        kind: Any = ProcessRef | None
        found: ProcessRef | None = self.ask("GET", node_path(name), kind)
        return found

    def terminate_child(self, supervisor: str, child: ChildName) -> None:
        """Stop a child and keep its spec, except for temporary children."""
        if isinstance(child, str):
            target = f"{child_path(supervisor, child)}/terminate"
        else:
            target = f"{child_path(supervisor, child.id)}/terminate?starts={child.starts}"
        self.ask("POST", target, DoneAnswer)

    def restart_child(self, supervisor: str, child: str) -> str | None:
        """Start a stopped child; None if its init answered ignore."""
        return self.ask("POST", f"{child_path(supervisor, child)}/restart", StartedChild).child

    def delete_child(self, supervisor: str, child: str) -> None:
        """Delete the spec of a stopped child."""
        self.ask("DELETE", child_path(supervisor, child), DoneAnswer)

    # -- sys -----------------------------------------------------------------------------------

    def get_state(self, worker: str) -> Any:
        """Return the worker's state as JSON data."""
        found = self.ask("GET", f"{worker_path(worker)}/state", StateAnswer)
        self._shown = (worker, found.value, found.text.encode())
        return found.value

    def replace_state(self, worker: str, state: Any) -> Any:
        """Replace the worker's state; it is sent as JSON."""
        if isinstance(state, StateText):
            state = state(None)  # as JSON has it; the node knows the type
        body = msgspec.json.encode(jsonable(state))
        self.ask("PUT", f"{worker_path(worker)}/state", DoneAnswer, body, kind="application/json")
        return state

    def suspend(self, name: str) -> None:
        """Suspend a worker or a supervisor."""
        self.ask("POST", f"{node_path(name)}/suspend", DoneAnswer)

    def resume(self, name: str) -> None:
        """Resume a worker or a supervisor."""
        self.ask("POST", f"{node_path(name)}/resume", DoneAnswer)

    def trace(self, worker: str, on: bool = True) -> None:
        """Turn the tracing of a worker's inputs and outputs on or off."""
        self.ask("POST", f"{worker_path(worker)}/trace?on={str(on).lower()}", DoneAnswer)

    def statistics(self, worker: str) -> Statistics:
        """Return the counters of a worker."""
        return self.ask("GET", f"{worker_path(worker)}/stats", Statistics)

    def kill(self, name: str) -> None:
        """Kill a worker or a supervisor."""
        self.ask("POST", f"{node_path(name)}/kill", DoneAnswer)

    def stop(self, reason: object = "shutdown") -> None:
        """Stop the whole tree in order, and wait until its listeners are closed."""
        del reason  # from afar a tree is stopped in one way
        self.ask("POST", "/v1/stop", DoneAnswer, timeout_s=None)
        self.connection.until_closed(STOPPING_S)

    def get_status(self, worker: str) -> Status:
        """Return a worker's status; its state and its events are JSON data."""
        found = self.ask("GET", f"{worker_path(worker)}/status", StatusAnswer)
        self._shown = (worker, found.status.state, found.text.encode())
        return found.status

    def keep(self, worker: str, events: int) -> None:
        """Keep the last `events` events of a worker; 0 turns that off."""
        self.ask("POST", f"{worker_path(worker)}/keep?events={events}", DoneAnswer)

    def change_code(self, worker: str, old_version: str, extra: object = None) -> None:
        """Run `code_change` of a suspended worker; `extra` is sent as JSON."""
        target = f"{worker_path(worker)}/change-code?{urlencode({'old_version': old_version})}"
        self.ask(
            "POST",
            target,
            DoneAnswer,
            msgspec.json.encode(jsonable(extra)),
            kind="application/json",
        )

    def crash_reports(
        self, worker: str | None = None, last: int | None = None
    ) -> Sequence[CrashReport]:
        """Return the last crash reports (of one worker), oldest first."""
        given = {"worker": worker, "last": last}
        query = urlencode({key: value for key, value in given.items() if value is not None})
        return self.ask("GET", f"/v1/crashes?{query}", list[CrashReport])

    def stop_process(
        self, name: str, reason: object = "normal", timeout_s: float | None = None
    ) -> None:
        """Stop one worker or supervisor in order; `reason` is sent as text."""
        query = {"reason": str(reason)} | ({} if timeout_s is None else {"timeout": timeout_s})
        self.ask("POST", f"{node_path(name)}/stop?{urlencode(query)}", DoneAnswer)
