"""Ten trees, each with one weakness that faults find; and workers with faults that inputs find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ssm_cli import (
    Cast,
    Monitor,
    Ok,
    StartTimer,
    StateMachine,
    Supervisor,
    SupervisorSpec,
    Worker,
)

STARTED: dict[str, int] = {}
"""What inits leave behind outside of their worker, as a lock file would be."""


@dataclass(frozen=True)
class Add:
    amount: int = 1


@dataclass(frozen=True)
class Divide:
    by: Literal[0, 1, 2, 3]


@dataclass(frozen=True)
class Hello:
    who: str


def count(message: Any, state: int) -> tuple[int, int]:
    return state + 1, state


def zero(_name: str, _args: Mapping[str, Any]) -> int:
    return 0


sound = StateMachine(step=count, init=zero, inputs=Add)


def sound_workers(number: int = 3) -> list[Any]:
    return [Worker(f"sound{n}", sound) for n in range(number)]


# -- the weak ones ---------------------------------------------------------------------------------


def locking(name: str, _args: Mapping[str, Any]) -> int:
    """An init that fails once its worker has crashed: what it locked is locked still."""
    STARTED[name] = STARTED.get(name, 0) + 1
    if STARTED[name] > 1:
        raise RuntimeError(f"{name} is locked")
    return 0


def hears(message: Any, state: int) -> tuple[int, int]:
    """A reader that takes a second greeting of its source for a broken protocol."""
    if type(message) is Hello and state:
        raise RuntimeError("greeted twice")
    return state + (type(message) is Hello), state


def greets(name: str, _args: Mapping[str, Any]) -> Ok[int]:
    return Ok(0, effects=(Cast("reader", Hello(name)),))


def floods(message: Any, state: list[int]) -> tuple[list[int], None]:
    """A consumer that raises when one input comes very often."""
    state = [*state, message.amount][-20:]
    if len(state) == 20 and len(set(state)) == 1:
        raise RuntimeError("flooded")
    return state, None


def beats(message: Any, state: int) -> tuple[int, None, Sequence[Any]]:
    """A watchdog that raises when no beat has come for three seconds."""
    if message == "too late":
        raise RuntimeError("no beat")
    return state + 1, None, alive() if message == "beat" else ()


def alive() -> Sequence[Any]:
    return StartTimer("beat", 1000, "beat"), StartTimer("dog", 3000, "too late")


def divides(message: Any, state: int) -> tuple[int, float]:
    return state, 1 / message.by


def mourns(message: Any, state: int) -> tuple[int, None]:
    """A front that cannot do without its back."""
    if type(message) is not Add:
        raise RuntimeError("the back is gone")
    return state, None


def watching(_name: str, _args: Mapping[str, Any]) -> Ok[int]:
    return Ok(0, effects=(Monitor("back"),))


def beating(_name: str, _args: Mapping[str, Any]) -> Ok[int]:
    return Ok(0, effects=alive())


def empty(_name: str, _args: Mapping[str, Any]) -> list[int]:
    return []


def weak(step: Callable[..., Any], init: Callable[..., Any], inputs: Any = Add) -> Any:
    return StateMachine(step=step, init=init, inputs=inputs)


def weak_trees() -> dict[str, SupervisorSpec]:
    few = sound_workers()
    locked, wrong = weak(count, locking), [Worker("reader", weak(hears, zero)), *few]
    dog = Worker("dog", weak(beats, beating, None), step_timeout="infinity")
    low = Supervisor("low", children=sound_workers(2), intensity=5, period=3600)
    one = Worker("significant", sound, restart="temporary", significant=True)
    back = Worker("back", sound, restart="temporary")
    return {
        "an intensity too tight": Supervisor("root", children=few, intensity=0),
        "an init that fails after a crash": Supervisor(
            "root", children=[*few, Worker("locked", locked)], intensity=3
        ),
        "a dependency in the wrong order": Supervisor(
            "root", children=[*wrong, Worker("source", weak(count, greets))], intensity=1
        ),
        "a worker that floods": Supervisor(
            "root", children=[*few, Worker("consumer", weak(floods, empty))], intensity=2
        ),
        "a timer that is not to be lost": Supervisor("root", children=[*few, dog], intensity=0),
        "a parent that allows nothing": Supervisor("root", children=[low], intensity=0),
        "an input that always crashes": Supervisor(
            "root", children=[*few, Worker("divider", weak(divides, zero, Divide))], intensity=0
        ),
        "a front that needs a temporary back": Supervisor(
            "root", children=[back, Worker("front", weak(mourns, watching))], intensity=0
        ),
        "a significant child": Supervisor(
            "root", children=[*few, one], intensity=9, auto_shutdown="any_significant"
        ),
        "a period much too long": Supervisor("root", children=few, intensity=3, period=86_400),
    }


# -- faults that a state and an input have together --------------------------------------------


@dataclass(frozen=True)
class Put:
    key: str
    value: int


@dataclass(frozen=True)
class Get:
    key: str


@dataclass(frozen=True)
class Take:
    key: str
    amount: int


@dataclass(frozen=True)
class Move:
    source: str
    target: str


@dataclass(frozen=True)
class Choose:
    way: Literal["left", "right"]
    numbers: list[int]


Store = dict[str, int]


def only_known(message: Any, state: Store) -> tuple[Store, Any]:
    if type(message) is Take and message.key in state and message.amount > state[message.key]:
        raise ValueError("less than nothing")
    return state, None


def to_itself(message: Any, state: Store) -> tuple[Store, Any]:
    if type(message) is Move and message.source == message.target and message.source in state:
        raise ValueError("moved to itself")
    return state, None


def magic(message: Any, state: Store) -> tuple[Store, Any]:
    if type(message) is Put and message.value == 4711:
        raise ValueError("magic")
    return state, None


def twice(message: Any, state: Store) -> tuple[Store, Any]:
    if type(message) is Put:
        if state.get(message.key) == message.value:
            raise ValueError("the same again")
        return {**state, message.key: message.value}, None
    return state, None


def too_many(message: Any, state: Store) -> tuple[Store, Any]:
    if type(message) is Put:
        if len(state) >= 8 and message.key not in state:
            raise ValueError("full")
        return {**state, message.key: message.value}, None
    return state, None


def taken_away(message: Any, state: Store) -> tuple[Store, Any]:
    if type(message) is Take:
        return {k: v for k, v in state.items() if k != message.key}, None
    return state, state["alice"] if type(message) is Get else None


def divides_by(message: Any, state: Store) -> tuple[Store, Any]:
    if type(message) is Put and message.key in state:
        return state, 100 // (message.value - state[message.key])
    return state, None


def empty_list(message: Any, state: Store) -> tuple[Store, Any]:
    return state, max(message.numbers) if type(message) is Choose else None


def long_key(message: Any, state: Store) -> tuple[Store, Any]:
    if type(message) is Put and len(message.key) > 50:
        raise ValueError("too long")
    return state, None


def in_order(message: Any, state: Store) -> tuple[Store, Any]:
    """Raises for a Get behind exactly three Puts in a row."""
    puts = state.get("puts", 0)
    if type(message) is Get and puts == 3:
        raise ValueError("three, then one")
    return {**state, "puts": puts + 1 if type(message) is Put else 0}, None


FAULTY: list[Callable[[Any, Store], Any]] = [
    only_known, to_itself, magic, twice, too_many, taken_away, divides_by, empty_list, long_key,
    in_order,
]  # fmt: skip


def alice(_name: str, _args: Mapping[str, Any]) -> Store:
    return {"alice": 1730, "bob": 12}


def faulty_machine(step: Callable[[Any, Store], Any]) -> Any:
    return StateMachine(step=step, init=alice, inputs=Put | Get | Take | Move | Choose)


MACHINES = {step.__name__: faulty_machine(step) for step in FAULTY}
only_known_machine, in_order_machine = MACHINES["only_known"], MACHINES["in_order"]
