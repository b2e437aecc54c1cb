"""A tree to be interrupted: its workers tell of their lives, its callers of their outcomes."""

from __future__ import annotations

import asyncio
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
    Ok,
    Reply,
    Report,
    SsmError,
    StateMachine,
    Worker,
)
from tests.faults.watching import unwatch

OUTSIDE_TEXT = "from outside"
UNSEEN = -1  # of an act: none is looked at
LATER_S = 20.0  # of the manual clock: longer than any timer or back-off of the scenarios


class Hung(BaseException):
    """A run took far too long."""


class Own(KeyboardInterrupt):
    """An interruption that belongs to the acts: whoever acts gets it, and goes on."""


class Struck(BaseException):
    """The acts of a scenario are over: the last one was struck, or was to be."""


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
        forgets: whether the oldest reports are forgotten.
        first: what raises before anything is thrown in.
        torn: whether acts bring the engine where it does not come by itself, or execute it as code
            of the user: it is struck where no other scenario comes.
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
    forgets: bool = False
    first: Any = None
    torn: bool = False


class Utf8:
    """A codec of text as it is."""

    def decode(self, data: bytes) -> str:
        return data.decode()

    def encode(self, value: object) -> bytes:
        return str(value).encode()


class Stage:
    """One run of a scenario: the node, the lives of its workers, and the outcomes of its callers.

    Attributes:
        number: of the act that runs, from 1.
        down: the acts that begin or end with a tree that is down.
        may_end: whether the tree may be down behind the act that is struck.
        fired: whether the exception was thrown in.
        interrupted: whether it was, behind an interruption that the act raised.
        trap: a callback, or a report, and whose: it raises `Own`, once.
        doing: the act that runs.
        came_out: the exceptions from outside that acts raised.
        tries, lives, ends: how often each `init` ran; the lives that began, and ended, in order.
        told: how many outcomes each caller of `ask` got; `asked`: which were taken by the node.
    """

    def __init__(self, scenario: Scenario, last: int = 0, *, may_end: bool = False) -> None:
        self.scenario, self._last = scenario, last  # the act to be struck; 0: none
        self.may_end = may_end or scenario.may_end
        self.down: set[int] = set()
        self.watch: Callable[[], None] = unwatch  # begins to watch lines
        self.number = 0
        self.fired = self.interrupted = False
        self.trap: tuple[str, str] = ("", "")
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
        self.store = MemoryStore()
        self.links: Any = None
        self.node: Any = None
        self.renew()

    def renew(self, tree: Any = None, **options: Any) -> None:
        """Lose the process, if there is one, and begin the next with what is stored."""
        self.end_runs()
        scenario, self.clock = self.scenario, ManualClock(self.clock.wall_s())
        options = {"clock": self.clock, "guard": False, **scenario.options, **options}
        if scenario.far:
            self.links = options["links"] = FakeLinks(self.clock, {"far.kv": self.far})
        if scenario.durable:
            options["store"] = self.store
        self.node = Node(scenario.tree(self) if tree is None else tree, **options)
        self.told.clear()
        self.asked.clear()
        self.seen.clear()
        if scenario.watched:
            self.node.subscribe(self._read)

    def _read(self, report: Report) -> None:
        self.spring(report.event, report.id)  # then it is told of again
        self.seen.append(report.seq)

    def spring(self, what: str, name: str) -> None:
        """Raise `Own` if that is the trap."""
        if self.trap == (what, name):
            self.trap = ("", "")
            raise Own(f"{what} {name}")

    def far(self, data: bytes) -> Any:
        """Answer for a worker on another computer."""
        return SimpleNamespace(outcome="replied", output=data, error="", reason="")

    def end_runs(self) -> None:
        """End what the runs of the process go on by, which ends with it."""
        if self.node is not None:
            self.node._world.outside.runner.close()

    def leave(self) -> None:
        """Let go of the event loop."""
        self.end_runs()
        if self.loop is not None:
            self.loop.close()

    # -- workers -------------------------------------------------------------------------------

    def begin(self, name: str, args: Mapping[str, Any]) -> int:
        self.tries[name] += 1
        life = self.tries[name]
        if "init" in args:
            args["init"](life)
        self.spring("init", name)
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
            self.spring("terminate", name)

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
        """Carry out one act; its value, or the error of `ssm`'s own.

        The lines of the act that is to be struck are watched, or those of all acts.

        Raises:
            Struck: it was the one that is to be struck.
        """
        self.doing, self.number = name, self.number + 1
        value: Any = None
        self._note_down()
        try:
            first = self.scenario.first
            sys.setprofile(first.watch() if first and first.act == self.number else None)
            if self._last in (0, self.number):
                self.watch()
            try:
                value = do(*args, **options)
            finally:
                unwatch()
                sys.setprofile(None)
        except SsmError as error:
            value = error
        except Own as error:
            value = error
            self.interrupted = self.fired  # by the first of two, which is the one that is raised
        except BaseException as error:
            if OUTSIDE_TEXT not in error.args:
                raise
            self.came_out.append(error)
        self._note_down()
        if self.number == self._last:
            raise Struck
        return value

    def _note_down(self) -> None:
        if not self.node.running:
            self.down.add(self.number)

    def start(self) -> Any:
        return self.act("start", self.node.start)

    def stop(self) -> None:
        self.act("stop", self.node.stop)

    def call(self, worker: str, message: Any, **options: Any) -> Any:
        return self.act(f"call {worker}", self.node.call, worker, message, **options)

    def do(self, verb: str, *args: Any) -> Any:
        return self.act(verb, lambda: getattr(self.node, verb)(*args))

    def ask(self, worker: str, message: Any, request: str = "") -> None:
        """One caller more, who does not wait."""
        number = len(self.told)
        self.told[number] = 0

        def heard(_pending: object) -> None:
            self.told[number] += 1

        def send() -> None:
            self.node.send_request(worker, message, heard, request_id=request)

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
