"""Forks whose states are copied in turns, and requests to a supervisor of one that is suspended."""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ssm_cli import Run, StartTimer, Supervisor
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.node import with_own_states
from ssm_cli.runtime.performer.forks import own_answer
from tests.faults.bare import asked
from tests.faults.edges import plain
from tests.faults.scenarios import add, asking
from tests.faults.stage import Scenario, Stage
from tests.runtime.outside_work import aforever

MANY = 100  # more than what is copied in one piece


@dataclass
class Part:
    """An object of attributes."""

    values: list[list[int]]


class Slots:
    """An object of slots."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = [[n] for n in range(MANY)]


class Setting:
    """An object that takes its state itself."""

    def __init__(self) -> None:
        self.values = [[n] for n in range(MANY)]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class Single:
    """An object of which there is one."""

    values = tuple([n] for n in range(MANY))

    def __reduce__(self) -> str:
        return "SINGLE"


class Own:
    """An object that copies itself."""

    def __deepcopy__(self, _memo: Any) -> Any:
        return self


class Listed(list[Any]):
    """A list of a class of its own."""


SINGLE = Single()


def states() -> list[Any]:
    """Values of each kind that is copied in its own way."""
    parts = [[n] for n in range(MANY)]
    ring: list[Any] = [*parts]
    pair = (ring, parts)
    ring.append(pair)
    kinds = [Part(parts), Slots(), Setting(), SINGLE, Own(), Listed(parts), deque(parts)]
    return [
        [kinds, kinds],
        {n: [n] for n in range(MANY)},
        OrderedDict((n, [n]) for n in range(MANY)),
        pair,
        tuple(range(MANY)),
        (tuple(range(1000)), 1),
    ]


def drained(pieces: Any) -> Any:
    """Do in one piece what is done in turns."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value


def copied(stage: Stage) -> None:
    """Fork a tree, copy the states of the fork in turns, and step both."""
    stage.start()
    for state in states():
        stage.do("replace_state", "b", (1, state))
        fork = stage.do("fork")
        own = stage.act("copied", lambda shared=fork: drained(with_own_states(shared)))
        stage.act("digest", own.digest)
        stage.act("call a copy", own.call, "a", add)
    stage.act("fork", lambda: stage.node.fork(copy="deep"))
    stage.call("a", add)
    stage.stop()


def asked_in_a_fork(stage: Stage) -> None:
    """Ask a supervisor of a fork that is suspended, one that is not, and what nobody answers."""
    stage.start()
    fork = stage.do("fork")
    for ask in ("terminate_child", "restart_child", "delete_child"):
        stage.act("suspend", fork.suspend, "root")
        stage.act(ask, getattr(fork, ask), "root", "a")
        stage.act("resume", fork.resume, "root")
        stage.act(ask, getattr(fork, ask), "root", "b")
    asked(stage, fork.answer, Pending())
    stage.act("odd time", at_no_time, stage)
    stage.call("a", add)
    stage.stop()


def lasting(stage: Stage) -> Any:
    """Durable workers, and a supervisor with an `init`."""
    code = stage.machine(restore=lambda _name, _args, state: state)
    kinds: dict[str, Any] = {"a": {"persist": "journal"}, "b": {"persist": "snapshot"}}
    children = [stage.worker(name, start=code, **kept) for name, kept in kinds.items()]
    children += [stage.worker("c", persist="journal"), stage.worker("d", persist="snapshot")]
    low = Supervisor("low", children=[stage.worker("e")], init=lambda _name: None)
    return Supervisor("root", children=[*children, low], intensity=100)


def left_in_a_fork(stage: Stage) -> None:
    """Workers and supervisors of a fork end, and begin with what is left of them."""
    stage.start()
    stage.do("terminate_child", "root", "a")
    fork = stage.do("fork")
    stage.do("digest")
    left = asking(StartTimer("t", 9000, add), Run("s", aforever))
    asked(stage, fork.call, "c", left)
    asked(stage, fork.terminate_child, "root", "c")
    stage.act("digest", fork.digest)
    asked(stage, fork.restart_child, "root", "c")
    for name in "abcd":
        for verb in ("terminate_child", "restart_child"):
            asked(stage, getattr(fork, verb), "root", name)
        stage.act("kill", fork.kill, name)
    stage.act("kill", fork.kill, "low")
    stage.act("run", fork.run)
    asked(stage, own_answer, fork._world, "low")
    stage.do("restart_child", "root", "a")
    stage.stop()


def at_no_time(stage: Stage) -> None:
    """Call for a time that is none."""
    with suppress(ValueError):
        stage.node.call("a", add, timeout_s=float("nan"))


SCENARIOS = [
    Scenario("copied", plain(*"ab"), copied, watched=False, kills=True),
    Scenario("copied_live", plain(*"ab"), copied, kills=True),
    Scenario("left_in_a_fork", lasting, left_in_a_fork, frozenset("a"), watched=False,
             durable=True, kills=True),
    Scenario("asked_in_a_fork", plain(*"ab"), asked_in_a_fork, watched=False, kills=True),
]  # fmt: skip
