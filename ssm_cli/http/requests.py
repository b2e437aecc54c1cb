"""What answers the routes: a handler with the name of the route's effect, or the tree itself."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Coroutine
from functools import partial
from types import CoroutineType
from typing import Any

import msgspec

from ssm_cli.codec.build import codec_for
from ssm_cli.commands.applying import applied_record, plan_record
from ssm_cli.commands.future_verbs import FUTURE_VERBS
from ssm_cli.commands.later import BESIDE, LOOKING, READING, STEPPING
from ssm_cli.commands.records import done_record, report_record
from ssm_cli.commands.routes import WORKERS, Route
from ssm_cli.commands.values import child_spec_of, set_state, state_of
from ssm_cli.commands.verbs import VERB_OF, VERBS
from ssm_cli.errors import MOST_PLACES, CallTimeout, CommandError, QueueFull, whole_number
from ssm_cli.http.calling import outcome
from ssm_cli.http.exchange import Answered, HttpAnswer, Request, Stream
from ssm_cli.http.routes import BY_EFFECT, STOPPED
from ssm_cli.http.shape import ShapeRequests
from ssm_cli.http.slices import array_parts, each_report, finished
from ssm_cli.http.statuses import HttpError
from ssm_cli.runtime.durable.quarantine import Quarantined
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.requests import REQUESTS
from ssm_cli.runtime.views import ProcessRef
from ssm_cli.supervision.planning import Applied, TreePlan

MAX_LOG = 10_000
REQUEST_S = 5.0  # how long a supervisor may take to get to a request
_encode = msgspec.json.Encoder().encode
WAYS = (
    (BESIDE.union(verb.name for verb in FUTURE_VERBS), "beside"),
    (READING, "soon"),
    (STEPPING | LOOKING, "in_turns"),
)
LATER = {r.effect: way for verbs, way in WAYS for v in verbs if (r := VERBS[v].route) is not None}
"""The effects that may take seconds, and how they are carried out while the tree goes on."""


class About(msgspec.Struct, frozen=True):
    """What a tree publishes about itself besides its nodes; `instance` is of this run of it."""

    file: str = ""
    pid: int = msgspec.field(default_factory=os.getpid)
    instance: str = msgspec.field(default_factory=partial(secrets.token_hex, 8))


class Requests:
    """Answers every route but those that the application answers itself.

    A method is the handler of the route whose effect has its name. Any other effect is one of the
    tree: of a supervisor, or a method of the node, which gets the names in the path and the query.

    Args:
        is_live: whether a loop serves the tree; one at a place in time is run by its requests.
    """

    def __init__(self, node: Node, about: About, *, is_live: bool = True) -> None:
        self._node = node
        self._about = about
        self._is_live = is_live
        self._readiness = node.readiness()
        shape = ShapeRequests(node, about.instance if is_live else "")
        self._own = {
            name: getattr(part, name)
            for part in (self, shape)
            for name in vars(type(part))
            if name in BY_EFFECT
        }

    def answer(self, route: Route, request: Request) -> Answered | Coroutine[Any, Any, Answered]:
        """Return what a route answers, or a coroutine of it; note who has asked for a change."""
        behind = self._node.record
        with self._node.asked_by("http"):
            found = self._found(route, request)
            if isinstance(found, CoroutineType):
                return self._later(route, request, found, behind)
            return _answer(route, request, found)

    async def _later(
        self, route: Route, request: Request, coming: Awaitable[object], behind: int
    ) -> Answered:
        try:
            return _answer(route, request, await coming)
        finally:
            self._node.note_changes(behind, "http")

    def _found(self, route: Route, request: Request) -> object:
        """Return a value or an answer, or a coroutine of one."""
        at = request.query.pop("at", "")
        if (way := LATER.get(route.effect)) is not None:
            return self._node.effects[way](route.effect, **request.query, at=at)
        past = self._node.effects.get(route.effect)
        if past is not None:
            return past(**request.query, at=at)
        if at and route.method == "GET":
            node = self._node.perform("standing", at, reading=True)
            return self._placed(node).answer(route, request)
        if at:
            return self._in_fork(route, request, at)
        own = self._own.get(route.effect)
        return self._perform(route, request) if own is None else own(request)

    async def _in_fork(self, route: Route, request: Request, at: str) -> Answered:
        """Carry out what changes a fork, and serve it in turns."""
        node = self._node.perform("standing", at, reading=False)
        found = self._placed(node).answer(route, request)
        answer = found if isinstance(found, Answered) else await found
        said = await self._node.effects["in_turns"]("settle", at=at)
        return with_stopped(answer, said) if isinstance(answer, HttpAnswer) else answer

    def _placed(self, node: Node) -> Requests:
        return Requests(node, self._about, is_live=False)

    def _perform(self, route: Route, request: Request) -> object:
        """Have the tree carry out the effect of a route that needs no handler of its own."""
        names = request.names.values()
        if route.effect in REQUESTS:
            return self._ask_supervisor(route.effect, *names)
        given = {query.name: request.query.get(query.name, query.default) for query in route.query}
        query = {name: value for name, value in given.items() if value is not None}
        return getattr(self._node, route.effect)(*names, **query)

    async def _ask_supervisor(self, effect: str, supervisor: str, *args: Any) -> Any:
        """Return a supervisor's answer to a request.

        Raises:
            SupervisorError: it refuses.
            CallTimeout: it is suspended, and was not resumed within `REQUEST_S` seconds.
        """
        if not self._is_live:
            return self._node.perform(effect, supervisor, *args)
        pending = self._node.meant(supervisor, effect, *args)
        if not await outcome(pending, REQUEST_S):
            why = f"did not answer within {REQUEST_S:g} s; it is busy or suspended"
            raise CallTimeout(f"{supervisor} {why}", worker=supervisor, reason="timeout")
        return pending.result()

    def cast(self, request: Request) -> None:
        """Cast an input, as text or as JSON."""
        message: Any = request.body
        if request.is_json and self._node.exists(request.name):
            message = self._node.decode(request.name, request.body, "json")
        try:
            self._node.cast_nowait(request.name, message)
        except QueueFull:
            self._node.cast(request.name, message)  # what waits is served first

    def publish(self, request: Request) -> object:
        """Publish an input; JSON is read as one of the first member, or by members elsewhere."""
        message: Any = request.body
        if request.is_json and (members := self._node.get_members(request.name)):
            message = self._node.decode(members[0], request.body, "json")
        elif request.is_json:
            message = codec_for("json", None, None).decode(request.body)
        return self._node.publish(request.name, message)

    def members(self, request: Request) -> object:
        """Return the members of a group."""
        return Stream(array_parts(self._node.each_member(request.name)))

    def member_values(self, request: Request) -> object:
        """Return the members of a group and their values as data."""
        return Stream(array_parts(self._node.each_value(request.name)))

    def get_state(self, request: Request) -> object:
        """Return the redacted state as text and as JSON."""
        state = self._node.get_state(request.name)
        text = self._node.shown(request.name, state)
        head = {"v": 1, "type": "state", "worker": request.name}
        value = self._node.data(request.name, state)
        return {**head, "text": text, "value": value, **self._record()}

    def replace_state(self, request: Request) -> None:
        """Replace the state by that of the body."""
        set_state(self._node, request.name, request.text)

    def get_status(self, request: Request) -> object:
        """Return the status of a worker, and its state as text."""
        status = self._node.get_status(request.name)
        text = self._node.shown(request.name, status.state)
        shown = msgspec.structs.asdict(status) | {
            "state": self._node.data(request.name, status.state),
            "log": [
                {"kind": e.kind, "value": self._node.data(request.name, e.value)}
                for e in status.log
            ],
        }
        for waits in ("postponed", "timeouts"):
            both = getattr(status, waits)
            shown[waits] = [(kind, self._node.data(request.name, said)) for kind, said in both]
        return {"v": 1, "type": "status", "status": shown, "text": text, **self._record()}

    def _record(self) -> dict[str, int]:
        """Return the record behind which something was seen, where the tree remembers."""
        return {"record": self._node.record} if self._node.record else {}

    def change_code(self, request: Request) -> None:
        """Run the worker's `code_change`."""
        extra = state_of(request.text, None) if request.body else None
        self._node.change_code(request.name, request.query.get("old_version", ""), extra)

    def stop_process(self, request: Request) -> None:
        """Stop a worker or supervisor in order."""
        reason = request.query.get("reason", "normal")
        self._node.stop_process(request.name, reason, request.query.get("timeout"))

    async def start_child(self, request: Request) -> object:
        """Start a child from the spec or label in the body."""
        spec = child_spec_of(request.text)
        if not spec:
            raise CommandError("the body is empty; send a label, or a mapping as in a tree file")
        return await self._ask_supervisor("start_child", request.name, spec)

    async def plan(self, request: Request) -> object:
        """Plan the way to the tree of a file."""
        wanted = self._node.wanted_tree(request.query.get("tree"))
        only = request.query.get("specs_only", False)
        return await self._ask_supervisor("plan_tree", self._node.spec.id, wanted, only)

    async def apply(self, request: Request) -> object:
        """Make the tree that runs the one of a file."""
        wanted, query = self._node.wanted_tree(request.query.get("tree")), request.query
        asked = (wanted, query.get("plan", ""), query.get("specs_only", False))
        return await self._ask_supervisor("apply_tree", self._node.spec.id, *asked)

    async def terminate_child(self, request: Request) -> None:
        """Stop a child; `starts` identifies the process of a dynamic one."""
        child, starts = request.names["child"], request.query.get("starts")
        whom = child if starts is None else ProcessRef(child, starts)
        await self._ask_supervisor("terminate_child", request.name, whom)

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
            "dropped": self._node.dropped,
            "seq": self._node.last_seq,
        }

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
        number = whole_number(request.names["number"])
        if number is None or all(one.number != number for one in self._node.quarantined()):
            given = request.names["number"][:MOST_PLACES]
            raise HttpError(404, f"no input in quarantine has the number {given}")
        return _quarantined(self._node.release_input(number))

    def live(self, _request: Request) -> object:
        """Report the process as live; it would not answer otherwise."""
        return {"v": 1, "type": "health", "status": "ok"}

    async def ready(self, _request: Request) -> object:
        """Report whether every permanent child runs; 503 if not."""
        await finished(self._readiness.refresh())
        if not self._readiness.is_ready():
            raise HttpError(503, f"something that should run in {self._node.name} does not")
        return {"v": 1, "type": "health", "status": "ok"}


def with_stopped(answer: HttpAnswer, said: str) -> HttpAnswer:
    """Return an answer that says why a fork was stopped; as it is, where it was not."""
    if not said:
        return answer
    header = (STOPPED.encode(), said.encode())
    return msgspec.structs.replace(answer, headers=(*answer.headers, header))


def _quarantined(one: Quarantined) -> object:
    """Return the record of an input in quarantine, its bytes as text."""
    text = one.input.decode("utf-8", "backslashreplace")
    return msgspec.structs.asdict(one) | {"v": 1, "type": "quarantined", "input": text}


def _answer(route: Route, request: Request, value: object) -> Answered:
    """Return a value as the answer of a route, a list in parts.

    `child` is null if its init answered ignore.
    """
    if isinstance(value, list):
        value = Stream(array_parts(iter(value)))
    if isinstance(value, Answered):
        return value
    names = request.names
    match route.answer:
        case "Done":
            whom = {"worker": names["name"]} if route.path.startswith(WORKERS) else names
            value = done_record(VERB_OF[route.effect], whom)
        case "Child":
            value = done_record(VERB_OF[route.effect], {}) | {"child": value}
        case "Plan":
            assert isinstance(value, TreePlan)
            value = plan_record(value)
        case "Applied":
            assert isinstance(value, Applied)
            value = applied_record(value)
    return HttpAnswer(route.status, _encode(value))
