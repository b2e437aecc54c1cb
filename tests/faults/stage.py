"""A tree to be interrupted: its workers tell of their lives, its callers of their outcomes."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from ssm_cli import (
    CallError,
    FakeLinks,
    GenServer,
    ManualClock,
    MemoryStore,
    Node,
    NodeView,
    Ok,
    Reply,
    Report,
    SsmError,
    StateMachine,
    Worker,
)

OUTSIDE_TEXT = "from outside"
LATER_S = 20.0  # of the manual clock: longer than any timer or back-off of the scenarios


class Hung(BaseException):
    """A run took far too long."""


class Struck(BaseException):
    """The acts of a scenario are over: the exception was thrown in during the last one."""


@dataclass(frozen=True)
class Scenario:
    """A tree, and acts with it.

    Attributes:
        loose: the workers that may run or not, whenever an act is interrupted.
        kills: whether lives may end without `terminate`.
        may_end: whether the acts end the tree, other than by `stop`.
        watched: whether somebody reads the reports as they come.
        durable, far: whether the node has a store; whether it has links to other computers.
        defers: whether an act answers the caller of another one, who waits as long as the worker
            lives if that act is cut.
        failing_inits: how often an `init` fails before it succeeds.
        options: of the node.
    """

    name: str
    tree: Callable[[Stage], Any]
    acts: Callable[[Stage], None]
    loose: frozenset[str] = frozenset()
    kills: bool = False
    may_end: bool = False
    watched: bool = True
    durable: bool = False
    far: bool = False
    kinds: tuple[type[BaseException], ...] = ()
    defers: bool = False
    failing_inits: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


class Utf8:
    """A codec of text as it is."""

    def decode(self, data: bytes) -> str:
        return data.decode()

    def encode(self, value: object) -> bytes:
        return str(value).encode()


class Stage:
    """One run of a scenario: the node, the lives of its workers, and the outcomes of its callers.

    Attributes:
        fired: whether the exception was thrown in.
        doing: the act that runs.
        came_out: the exceptions from outside that acts raised.
        tries, lives, ends: how often each `init` ran; the lives that began, and ended, in order.
        told: how many outcomes each caller of `ask` got; `asked`: which were taken by the node.
    """

    def __init__(self, scenario: Scenario, trace: Any) -> None:
        self.scenario, self.trace = scenario, trace
        self.fired = False
        self.doing = ""
        self.came_out: list[BaseException] = []
        self.tries: Counter[str] = Counter()
        self.lives: list[tuple[str, int]] = []
        self.ends: list[tuple[str, int]] = []
        self.told: Counter[int] = Counter()
        self.asked: set[int] = set()
        self.clients: list[Generator[Any, Any, Any]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.seen: list[int] = []
        self.clock = ManualClock()
        options: dict[str, Any] = {"clock": self.clock, "guard": False, **scenario.options}
        if scenario.far:
            options["links"] = FakeLinks(self.clock, {"far.kv": self.far})
        if scenario.durable:
            options["store"] = MemoryStore()
        self.node = Node(scenario.tree(self), **options)
        if scenario.watched:
            self.node.subscribe(self._read)

    def _read(self, report: Report) -> None:
        self.seen.append(report.seq)

    def far(self, data: bytes) -> Any:
        """Answer for a worker on another computer."""
        return SimpleNamespace(outcome="replied", output=data, error="", reason="")

    def leave(self) -> None:
        """Let go of the event loop."""
        if self.loop is not None:
            self.loop.close()

    # -- workers -------------------------------------------------------------------------------

    def begin(self, name: str, args: Mapping[str, Any]) -> int:
        self.tries[name] += 1
        life = self.tries[name]
        if "init" in args:
            args["init"](life)
        self.lives.append((name, life))
        return life

    def machine(self, **options: Any) -> StateMachine:
        """A pure step whose state is `(life, value)`; a message is a function of it, or a word."""

        def step(message: Any, state: Any) -> Any:
            if message == "crash":
                raise ValueError("as asked")
            return message(state) if callable(message) else (state, message)

        def terminate(name: str, state: Any, _reason: Any) -> None:
            self.ends.append((name, state[0]))

        return StateMachine(
            step=step,
            init=lambda name, args: (self.begin(name, args), 0),
            terminate=options.pop("terminate", terminate),
            codec=options.pop("codec", Utf8()),
            **options,
        )

    def worker(self, name: str, **options: Any) -> Any:
        return Worker(name, options.pop("start", None) or self.machine(), **options)

    def server(self, first: Callable[[Any], Any] = Ok) -> type[GenServer]:
        """A `GenServer` whose state is `(life, name)`; each message is the callback itself."""
        stage = self

        class Server(GenServer):
            codec = Utf8()

            def init(self, name: str, args: Mapping[str, Any]) -> Any:
                return first((stage.begin(name, args), name))

            def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
                return message(caller, state) if callable(message) else Reply(message, state)

            def handle_cast(self, message: Any, state: Any) -> Any:
                return message(state)

            def handle_continue(self, message: Any, state: Any) -> Any:
                return message(state)

            def terminate(self, reason: Any, state: Any) -> None:
                stage.ends.append((state[1], state[0]))

        return Server

    # -- acts ----------------------------------------------------------------------------------

    def act(self, name: str, do: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Carry out one act under the trace function; its value, or the error of `ssm`'s own.

        Raises:
            Struck: the exception was thrown in during it.
        """
        self.doing = name
        value: Any = None
        try:
            sys.settrace(self.trace)
            try:
                value = do(*args, **options)
            finally:
                sys.settrace(None)
        except SsmError as error:
            value = error
        except BaseException as error:
            if OUTSIDE_TEXT not in error.args:
                raise
            self.came_out.append(error)
        if self.fired:
            raise Struck
        return value

    def start(self) -> Any:
        return self.act("start", self.node.start)

    def stop(self) -> None:
        self.act("stop", self.node.stop)

    def call(self, worker: str, message: Any, **options: Any) -> Any:
        return self.act(f"call {worker}", self.node.call, worker, message, **options)

    def do(self, verb: str, *args: Any) -> Any:
        return self.act(verb, getattr(self.node, verb), *args)

    def ask(self, worker: str, message: Any) -> None:
        """One caller more, who does not wait."""
        number = len(self.told)
        self.told[number] = 0

        def heard(_pending: object) -> None:
            self.told[number] += 1

        def send() -> None:
            self.node.send_request(worker, message, heard)

        self.asked.add(number)
        try:
            refused = self.act(f"send_request {worker}", send)
        except Struck:
            self.asked.discard(number)  # whether it was taken is not known
            raise
        if refused is not None:
            self.asked.discard(number)

    def client(self, *calls: tuple[str, Any]) -> Generator[tuple[str, Any], Any, int]:
        """A client that makes some calls and answers how many were answered."""

        def talk() -> Generator[tuple[str, Any], Any, int]:
            answered = 0
            for asked in calls:
                try:
                    yield asked
                except CallError:
                    continue
                answered += 1
            return answered

        made = talk()
        self.clients.append(made)
        return made

    def gather(self, *calls: tuple[str, Any]) -> None:
        """Several callers inside asyncio."""
        loop = self.loop = asyncio.new_event_loop()

        async def one(worker: str, message: Any) -> Any:
            try:
                return await self.node.acall(worker, message, timeout_s=2)
            except CallError as error:
                return error

        async def main() -> None:
            self.tasks += [loop.create_task(one(*asked)) for asked in calls]
            await asyncio.wait(self.tasks)

        self.act("acall", loop.run_until_complete, main())


# -- what must hold --------------------------------------------------------------------------------


class Wrong(Exception):
    """Something does not hold."""


def need(truth: object, otherwise: str) -> None:
    if not truth:
        raise Wrong(otherwise)


def examine(stage: Stage) -> list[str]:
    """What is wrong with a tree after an interruption; empty if it is whole."""
    try:
        need(stage.came_out, "swallowed: it came out of nothing")
        need(len(stage.came_out) == 1, "it came out more than once")
        look_at_life(stage)
        look_at_callers(stage)
        look_at_workers(stage)
        look_at_end(stage)
        look_at_reports(stage)
    except Wrong as wrong:
        return [str(wrong)]
    return []


def look_at_life(stage: Stage) -> None:
    """The tree runs, or what was interrupted was its start or its end."""
    node, scenario = stage.node, stage.scenario
    if node.running:
        return
    ends = stage.doing in ("start", "stop") or scenario.may_end
    need(ends, "the tree is down")
    look_at_lives(stage)
    for tries_left in range(scenario.failing_inits, -1, -1):
        try:
            node.start()
            break
        except SsmError as error:
            need(tries_left or scenario.may_end, f"it cannot be started again: {error}")


def workers_of(view: NodeView) -> dict[str, str]:
    """The state of each worker, in start order."""
    found: dict[str, str] = {view.id: view.state} if view.kind == "worker" else {}
    for child in view.children:
        found |= workers_of(child)
    return found


def suspended(view: NodeView) -> list[str]:
    """The workers and supervisors that are held."""
    below = [name for child in view.children for name in suspended(child)]
    return [view.id, *below] if view.state == "suspended" else below


def look_at_callers(stage: Stage) -> None:
    """Each caller has one outcome, once what waits was served and time has passed."""
    node = stage.node
    for name in suspended(node.tree()) if node.running else ():
        node.resume(name)
    node.run(LATER_S if node.running and "clock" not in stage.scenario.options else 0)
    for number, times in stage.told.items():
        all_are_due = number in stage.asked and not stage.scenario.defers
        need(times == 1 if all_are_due else times <= 1, f"a caller got {times} outcomes")
    for client in stage.clients:
        state = inspect.getgeneratorstate(client)
        need(state in (inspect.GEN_CLOSED, inspect.GEN_CREATED), "a client waits for ever")
    if stage.tasks and stage.loop is not None:
        waiting = asyncio.wait(stage.tasks, timeout=1)
        _, pending = stage.loop.run_until_complete(waiting)
        for task in pending:
            task.cancel()
        need(not pending, f"{len(pending)} callers of acall wait for ever")


def look_at_workers(stage: Stage) -> None:
    """Each worker runs and answers, but for those that an act takes away."""
    node, loose = stage.node, stage.scenario.loose
    if not node.running:
        need(stage.scenario.may_end, "the tree went down")
        return
    for name, state in workers_of(node.tree()).items():
        need(state == "running" or name in loose, f"{name} is {state}")
        if state == "running":
            answer = node.call(name, "ping", timeout_s=None)
            need(answer == "ping", f"{name} answers {answer!r}")


def look_at_end(stage: Stage) -> None:
    """The tree stops in order, and each worker that ran terminates once; then it starts again."""
    node = stage.node
    if not node.running:
        look_at_lives(stage)
        return
    ran = [name for name, state in workers_of(node.tree()).items() if state == "running"]
    before = len(stage.ends)
    node.stop()
    need(not node.running, "stop left it running")
    ended = [name for name, _ in stage.ends[before:]]
    if not stage.scenario.kills:
        need(ended == ran[::-1], f"ended {ended}, ran {ran}")
    look_at_lives(stage)
    kept = [number for number in stage.asked if stage.told[number] != 1]
    need(not kept, f"not told at the end of the tree: {kept}")


def look_at_lives(stage: Stage) -> None:
    """No life ends twice, and each has ended; a saved state brings the number of a life back."""
    twice = [life for life, times in Counter(stage.ends).items() if times > 1]
    need(stage.scenario.durable or not twice, f"terminated twice: {twice}")
    if not stage.scenario.kills:
        left = sorted(set(stage.lives) - set(stage.ends))
        need(not left, f"not terminated: {left}")


def look_at_reports(stage: Stage) -> None:
    """The reports have no gap, and a reader has seen each."""
    kept = [report.seq for report in stage.node.reports()]
    need(kept == list(range(1, len(kept) + 1)), "the reports have a gap")
    need(not stage.scenario.watched or stage.seen == kept, "a reader of reports missed some")
