"""Workers that do what each message says, and small trees of them under a manual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ssm_cli import (
    Caller,
    GenServer,
    ManualClock,
    Node,
    NoReply,
    Ok,
    Reply,
    StateMachine,
    Stop,
    Supervisor,
    Worker,
)
from ssm_cli.spec.model import ChildSpec


def step(message: Any, state: Any) -> Any:
    """A message is a function of the state, whose answer is the step's; or a word to echo."""
    return message(state) if callable(message) else (state, message)


def init(name: str, args: Mapping[str, Any]) -> Any:
    """The argument `state`, or what the argument `init` answers."""
    return args["init"](name) if "init" in args else args.get("state", 0)


actor = StateMachine(step=step, init=init)


class Server(GenServer):
    """Each message is the callback that handles it."""

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        return args["init"](name) if "init" in args else Ok(args.get("state", 0))

    def handle_call(self, message: Any, caller: Caller, state: Any) -> Any:
        return message(caller, state) if callable(message) else Reply(message, state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return message(state) if callable(message) else NoReply(message)

    def handle_info(self, message: Any, state: Any) -> NoReply | Stop:
        return NoReply([*state, message])

    def handle_continue(self, message: Any, state: Any) -> Any:
        return message(state) if callable(message) else NoReply([*state, message])


def add(n: int) -> Callable[[int], tuple[int, int]]:
    """Count on by `n`, and answer with the sum."""
    return lambda state: (state + n, state + n)


def get(state: Any) -> tuple[Any, Any]:
    """Answer with the state."""
    return state, state


def fail(state: Any) -> Any:
    """Crash."""
    del state
    raise ValueError("as asked")


def worker(name: str, **options: Any) -> ChildSpec:
    """An actor."""
    return Worker(name, actor, **options)


@contextmanager
def running(*children: ChildSpec, **flags: Any) -> Iterator[Node]:
    """A node under a manual clock over these children, stopped at the end."""
    flags.setdefault("intensity", 100)
    with Node(Supervisor("root", children=children, **flags), clock=ManualClock()) as node:
        yield node


def events(node: Node, after: int = 0) -> list[str]:
    """What has happened, as `event id`."""
    return [f"{report.event} {report.id}" for report in node.reports(after)]
