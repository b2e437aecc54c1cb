"""Drives supervisor scenarios through the public API: builds the tree, performs a step, observes.

Time is a manual clock: a callback that takes long advances it, and the guard cuts it where its
limit is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from ssm_cli import (
    CalleeCrashed,
    CallError,
    Exited,
    GenServer,
    Ignore,
    ManualClock,
    Node,
    NoReply,
    Ok,
    Report,
    StartFailed,
    Stop,
    SupervisorError,
)
from ssm_cli.behaviour.results import Caller, Reply
from ssm_cli.runtime.views import ProcessRef
from ssm_cli.spec.model import (
    AutoShutdown,
    ChildSpec,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerOptions,
    WorkerSpec,
)

Json = Any


def enum_or_word(kind: type[Any], word: object) -> Any:
    """The enum member, or the word itself where a scenario gives one that does not exist."""
    try:
        return kind(word)
    except ValueError:
        return word


class Puppet(GenServer):
    """The worker of the scenarios: does what its spec says, and tells the world."""

    trap_exit: ClassVar[bool] = True

    def init(self, name: str, args: Mapping[str, Any]) -> Ok | Ignore | Stop:
        world: World = args["world"]
        spec: Json = args["spec"]
        outcome = world.next_outcome(name, spec.get("init", ["ok"]))
        world.trace.append(["init", name, world.inits[name], outcome])
        if spec.get("init_ms"):
            world.clock.sleep_s(spec["init_ms"] / 1000)
            world.trace.append(["inited", name])
        match outcome.partition(":"):
            case ("ok", _, _):
                return Ok((world, spec, name))
            case ("ignore", _, _):
                return Ignore()
            case ("raise", _, _):
                raise RuntimeError("init raises, as the scenario says")
            case ("error", "", _):
                return Stop("init_failed")
            case (_, _, reason):
                return Stop(reason)

    def handle_call(self, message: Any, caller: Caller, state: Any) -> Reply:
        raise RuntimeError("crash, as the scenario says")

    def handle_cast(self, message: Any, state: Any) -> Stop:
        return Stop(message, state)

    def handle_info(self, message: Any, state: Any) -> NoReply:
        return NoReply(state)

    def terminate(self, reason: Any, state: Any) -> None:
        world, spec, name = state
        world.trace.append(["terminate", name, str(reason)])
        if spec.get("terminate_ms"):
            world.clock.sleep_s(spec["terminate_ms"] / 1000)
            world.trace.append(["terminated", name])


class World:
    """One scenario while it is driven."""

    def __init__(self, tree: Json) -> None:
        self.clock = ManualClock()
        self.inits: Counter[str] = Counter()
        self.trace: list[list[Any]] = []
        self.lives: dict[str, int] = {}
        self.root = tree["supervisor"]
        self.exited: str | None = None
        self.node = Node(self.supervisor(tree), clock=self.clock)
        self.node.subscribe(self.observe)

    # -- building ------------------------------------------------------------------------------

    def spec(self, json: Json) -> ChildSpec:
        """A child spec, wrong values included."""
        return self.supervisor(json) if "supervisor" in json else self.worker(json)

    def worker(self, json: Json) -> WorkerSpec:
        """A worker's child spec."""
        options = WorkerOptions(
            restart=enum_or_word(Restart, json.get("restart", "permanent")),
            shutdown_ms=json.get("shutdown", 5000),
            significant=json.get("significant", False),
            step_timeout_ms="infinity",
            init_timeout_ms="infinity",
        )
        return WorkerSpec(json["worker"], Puppet, {"world": self, "spec": json}, options)

    def supervisor(self, json: Json) -> SupervisorSpec:
        """A supervisor's spec and flags."""
        outcomes = json.get("init", ["ok"])

        def init(name: str) -> object:
            outcome = self.next_outcome(name, outcomes)
            self.trace.append(["supervisor_init", name, self.inits[name], outcome])
            return Ignore() if outcome == "ignore" else None

        return SupervisorSpec(
            id=json["supervisor"],
            strategy=enum_or_word(Strategy, json.get("strategy", "one_for_one")),
            children=tuple(self.spec(child) for child in json["children"]),
            intensity=json.get("max_restarts", 1),
            period_s=json.get("max_seconds", 5),
            auto_shutdown=enum_or_word(AutoShutdown, json.get("auto_shutdown", "never")),
            restart=enum_or_word(Restart, json.get("restart", "permanent")),
            shutdown_ms=json.get("shutdown", "infinity"),
            significant=json.get("significant", False),
            init=init,
        )

    def next_outcome(self, name: str, outcomes: list[str]) -> str:
        """What the next init of `name` is to answer."""
        self.inits[name] += 1
        return outcomes[min(self.inits[name], len(outcomes)) - 1]

    # -- observing -----------------------------------------------------------------------------

    def observe(self, report: Report) -> None:
        """Take from the report stream what callbacks cannot see."""
        match report.event:
            case "started":
                self.lives[report.id] = self.lives.get(report.id, 0)
            case "starting":
                self.lives[report.id] = report.detail["n"]
            case "killed":
                self.trace.append(["killed", report.id])
            case "exited":
                self.trace.append(["supervisor_exit", report.id, report.detail["reason"]])
            case "stopped":
                self.exited = report.detail["reason"]

    def tree(self) -> Json:
        """The state after a step."""
        if self.exited is not None:
            return {"exited": self.exited}
        return self.children(self.root) if self.node.running else "not_started"

    def children(self, name: str) -> Json:
        """The children of a running supervisor, in start order."""
        listed: list[Json] = []
        for child in reversed(self.node.which_children(name)):
            entry: list[Json] = [child.id, child.state]
            if child.type == "supervisor" and child.state == "running":
                entry.append(self.children(child.id))
            listed.append(entry)
        return sorted(listed) if self.is_simple(name) else listed

    def is_simple(self, name: str) -> bool:
        """Whether a supervisor makes its children from a template."""
        view = self.find(self.node.tree(), name)
        return view is not None and view.strategy == "simple_one_for_one"

    def find(self, view: Any, name: str) -> Any:
        """The node `name` in a view of the tree."""
        if view.id == name:
            return view
        return next((f for c in view.children if (f := self.find(c, name)) is not None), None)

    def go_on_in_a_fork(self) -> None:
        """Leave the node as it is, and do what follows to a fork of it, by the same clock."""
        self.node = self.node.fork(clock=self.clock)
        self.node.subscribe(self.observe)

    # -- performing ----------------------------------------------------------------------------

    def perform(self, step: Json) -> Json:
        """Perform a step and let everything come to rest; its result."""
        result = getattr(self, f"do_{step['op']}")(step)
        if self.node.running:
            self.node.run()
        return result

    def do_start(self, _: Json) -> Json:
        try:
            self.node.start()
        except StartFailed as error:
            return "ignore" if error.ignored else {"error": error.term}
        return "ok"

    def do_stop_root(self, _: Json) -> Json:
        if not self.node.running:
            return "noproc"
        self.node.stop("shutdown")
        return "ok"

    def do_wait(self, step: Json) -> Json:
        self.node.run(step["ms"] / 1000)
        return "ok"

    def alive(self, name: str) -> bool:
        """Whether a process runs under the name."""
        return self.node.running and self.node.whereis(name) is not None

    def do_crash(self, step: Json) -> Json:
        if not self.alive(step["target"]):
            return "noproc"
        try:
            self.node.call(step["target"], "crash", timeout_s=None)
        except CalleeCrashed as error:
            return {"exit": error.reason}
        raise AssertionError("a crashing call was answered")

    def do_stop(self, step: Json) -> Json:
        target = step["target"]
        if not self.alive(target):
            return "noproc"
        view = self.find(self.node.tree(), target)
        if view.kind == "supervisor":
            self.node.stop_process(target, step["reason"])
        else:
            self.node.cast(target, step["reason"])
            self.node.run()
        return "ok"

    def do_kill(self, step: Json) -> Json:
        if not self.alive(step["target"]):
            return "noproc"
        self.node.kill(step["target"])
        return "ok"

    def do_signal(self, step: Json) -> Json:
        if not self.alive(step["target"]):
            return "noproc"
        self.node.exit(step["target"], step["reason"], sender="other")
        return "ok"

    def do_burst(self, step: Json) -> Json:
        sup = step["sup"]
        if not self.alive(sup):
            return "noproc"
        self.node.suspend(sup)
        results: list[Any] = []
        for event in step["events"]:
            if event["op"] in ("kill", "crash", "stop"):
                results.append(getattr(self, f"do_{event['op']}")(event))
            else:
                verb, args = self.request_of(event)
                pending = self.node.request(sup, verb, *args)
                results.append((event, pending))
        self.node.resume(sup)
        if self.node.running:
            self.node.run()
        return [
            self.outcome(sup, *result) if isinstance(result, tuple) else result
            for result in results
        ]

    def request_of(self, step: Json) -> tuple[str, tuple[Any, ...]]:
        """The request of a step as a verb and its arguments."""
        op = step["op"]
        if op == "start_child":
            return op, ((step["label"] if "label" in step else self.spec(step["spec"])),)
        if op in ("which_children", "count_children"):
            return op, ()
        child = step["child"]
        if step.get("by") == "pid":
            child = ProcessRef(child, self.lives.get(child, 0))
        return op, (child,)

    def ask(self, step: Json) -> Json:
        """A request to a supervisor."""
        if not self.alive(step["sup"]):
            return "noproc"
        verb, args = self.request_of(step)
        pending = self.node.request(step["sup"], verb, *args)
        self.node.run()
        return self.outcome(step["sup"], step, pending)

    do_start_child = do_terminate_child = do_restart_child = do_delete_child = ask
    do_get_childspec = do_which_children = do_count_children = ask

    def outcome(self, sup: str, step: Json, pending: Any) -> Json:
        """The answer to a request, as the recordings spell it."""
        try:
            value = pending.result()
        except SupervisorError as error:
            return {"error": error.term}
        except CallError as error:
            return {"exit": error.reason}
        return self.answer(sup, step["op"], value)

    def answer(self, sup: str, op: str, value: Any) -> Json:
        """An answer that is no refusal."""
        match op:
            case "start_child" | "restart_child":
                return "ok" if value is not None else {"ok": "undefined"}
            case "count_children":
                return [value.specs, value.active, value.supervisors, value.workers]
            case "get_childspec":
                fields = ("restart", "shutdown", "significant", "type")
                return {"ok": {name: getattr(value, name) for name in fields}}
            case "which_children":
                return self.listed(sup, value)
        return "ok"

    def listed(self, sup: str, children: Any) -> Json:
        """`which_children` as recorded: sorted and nameless while restarting, if dynamic."""
        rows = [[child.id, child.state, child.type] for child in children]
        if not self.is_simple(sup):
            return rows
        return sorted(["?" if row[1] == "restarting" else row[0], *row[1:]] for row in rows)


__all__ = ["Exited", "World"]
