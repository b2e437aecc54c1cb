"""Workers whose inputs can be recorded, and a world in which their process can be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from ssm_cli import (
    Answer,
    Caller,
    CancelTimer,
    Cast,
    Defer,
    GenServer,
    KeepStateAndData,
    ManualClock,
    MemoryStore,
    Next,
    Node,
    NoReply,
    Ok,
    Postpone,
    Reply,
    SetTimeout,
    StartTimer,
    StateEvent,
    Statem,
    StateMachine,
    Stop,
    StorageError,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.effects import Exit
from ssm_cli.behaviour.results import Continue, TimeoutAfter
from ssm_cli.behaviour.state_loop import InState, StateData
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.spec.model import SupervisorSpec, WorkerSpec


class Add(msgspec.Struct, frozen=True):
    n: int


class Get(msgspec.Struct, frozen=True):
    pass


class Boom(msgspec.Struct, frozen=True):
    n: int = 0


class Send(msgspec.Struct, frozen=True):
    to: str
    n: int


class Later(msgspec.Struct, frozen=True):
    key: str
    ms: int
    n: int


class Never(msgspec.Struct, frozen=True):
    key: str


class Keep(msgspec.Struct, frozen=True):
    key: str


class Free(msgspec.Struct, frozen=True):
    key: str


class End(msgspec.Struct, frozen=True):
    pass


class Bad(msgspec.Struct, frozen=True):
    """Asks for what cannot be written."""

    what: str


class Seen(msgspec.Struct, frozen=True):
    ns: list[int]


Message = Add | Get | Boom | Send | Later | Never | Keep | Free | End | Bad
State = list[int]


def bad(what: str, state: State) -> Any:
    """What a step answers that cannot be written, by what it is."""
    return {
        "state": ([object()], Seen([])),
        "timer": (state, Seen([]), [StartTimer("k", 5, object())]),
        "cast": (state, Seen([]), [Cast(None, object())]),
    }[what]


def step(message: Message, state: State) -> Any:  # noqa: C901, PLR0911 - a case for each input
    match message:
        case Add(n):
            return [*state, n], Seen([*state, n])
        case Get():
            return state, Seen(state)
        case Send(to, n):
            return state, Seen(state), [Cast(to, Add(n))]
        case Later(key, ms, n):
            return state, Seen(state), [StartTimer(key, ms, Add(n))]
        case Never(key):
            return state, Seen(state), [CancelTimer(key)]
        case Keep(key):
            return state, None, [Defer(key)]
        case Free(key):
            return state, Seen(state), [Answer(key, Seen(state))]
        case End():
            return state, Seen(state), [Exit("normal")]
        case Bad(what):
            return bad(what, state)
        case Boom(n):
            raise ZeroDivisionError(f"boom {n}")


def init(name: str, args: Mapping[str, Any]) -> State:
    return list(args.get("begin", []))


log = StateMachine(step=step, init=init, inputs=Message, outputs=Seen)


class GoOn(msgspec.Struct, frozen=True):
    """Answer, and go on with an `Add` before anything else."""

    n: int


class Quiet(msgspec.Struct, frozen=True):
    """Answer, and note 99 unless something comes within so many milliseconds."""

    ms: int


class Early(msgspec.Struct, frozen=True):
    """Answer at once by `Caller.reply`, and crash if told to."""

    n: int
    crash: bool = False


class Close(msgspec.Struct, frozen=True):
    """End, with an answer."""


class Book(GenServer):
    inputs: ClassVar[Any] = Message | GoOn | Quiet | Early | Close
    outputs: ClassVar[Any] = Seen
    state: ClassVar[Any] = State

    def init(self, name: str, args: Mapping[str, Any]) -> Ok:
        return Ok(list(args.get("begin", [])))

    def handle_call(self, message: Any, caller: Caller, state: State) -> Any:
        match message:
            case GoOn(n):
                return Reply(Seen(state), state, then=Continue(Add(n)))
            case Quiet(ms):
                return Reply(Seen(state), state, then=TimeoutAfter(ms))
            case Early(n, crash):
                caller.reply(Seen([n]))
                if crash:
                    raise ZeroDivisionError("after the reply")
                return NoReply([*state, n])
            case Close():
                return Stop("normal", state, reply=Seen(state))
        answer = step(message, state)
        return Reply(answer[1], answer[0], effects=answer[2] if len(answer) > 2 else ())

    def handle_cast(self, message: Any, state: State) -> Any:
        answer = step(message, state)
        return NoReply(answer[0], effects=answer[2] if len(answer) > 2 else ())

    def handle_continue(self, message: Any, state: State) -> Any:
        return self.handle_cast(message, state)

    def handle_info(self, message: Any, state: State) -> Any:
        if isinstance(message, Add):
            return NoReply([*state, message.n])
        return NoReply([*state, 99])


class Shelf(Statem):
    """The same as a state machine, which goes to and fro between two states with each `Add`."""

    inputs: ClassVar[Any] = Message
    outputs: ClassVar[Any] = Seen

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        return Next("here", list(args.get("begin", [])))

    def here(self, event: StateEvent, data: State) -> Any:
        answer = step(event.content, data)
        replies = [Answer(event.caller, answer[1])] if event.caller is not None else []
        actions = [*replies, *(answer[2] if len(answer) > 2 else ())]
        return Next("there" if isinstance(event.content, Add) else "here", answer[0], actions)

    def there(self, event: StateEvent, data: State) -> Any:
        """Have it come again, where it changes more than the place."""
        if event.type == "state_timeout":
            return Next("here", data)
        return KeepStateAndData([Postpone(), SetTimeout("state_timeout", 0)])


def worker(name: str, start: Any = log, **options: Any) -> WorkerSpec:
    """A journalled worker that keeps its state in a crash, unless the options say otherwise."""
    return Worker(name, start, **{"persist": "journal", "on_crash": "last_good", **options})


def tree(*children: Any, **flags: Any) -> SupervisorSpec:
    return Supervisor("root", children=children, **{"intensity": 100, **flags})


def data_of(state: Any) -> State:
    """The state of a worker, or the data of a state machine."""
    found: State = state.data if isinstance(state, StateData | InState) else state
    return found


class World:
    """A tree, its store and its clock. `crash` loses the process, and starts another."""

    def __init__(self, spec: SupervisorSpec, store: Store | None = None) -> None:
        self.store: Any = MemoryStore() if store is None else store
        self.reopen: Callable[[], Store] = lambda: self.store
        self.spec = spec
        self.clock = ManualClock()
        self.node = Node(spec, store=self.store, clock=self.clock)
        self.node.start()

    def crash(self, spec: SupervisorSpec | None = None, jump_s: float = 0.0) -> Node:
        """As after `kill -9`: nothing of the process is left but what is stored."""
        self.spec = self.spec if spec is None else spec
        self.clock = ManualClock(self.clock.wall_s() + jump_s)
        self.store = self.reopen()
        self.node = Node(self.spec, store=self.store, clock=self.clock)
        return self.node.start()

    def restart(self, spec: SupervisorSpec | None = None) -> Node:
        """Stop in order, and start another process."""
        self.node.stop()
        return self.crash(spec)

    def seen(self, name: str = "a") -> State:
        return data_of(self.node.get_state(name))

    def peek(self, name: str = "a") -> State:
        """The same, without a word to the worker."""
        cell: Any = self.node._world.names[name]
        return data_of(cell.state)

    def ask(self, name: str, *messages: Any) -> list[Pending]:
        return [self.node.send_request(name, message) for message in messages]

    def events(self, *wanted: str) -> list[str]:
        return [f"{r.event} {r.id}" for r in self.node.reports() if r.event in wanted]


def failing(store: Any, text: str | None = "no room") -> None:
    """Let the store in memory fail, or not any more."""
    store.failing = None if text is None else StorageError(text)
