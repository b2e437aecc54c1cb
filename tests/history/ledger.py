"""A ledger of holds, with a fault: a hold that is released twice is taken off twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ssm_cli import CalleeCrashed, ManualClock, Node, StateMachine, Supervisor, Worker


@dataclass(frozen=True)
class Hold:
    id: str
    amount: int


@dataclass(frozen=True)
class Release:
    id: str


@dataclass(frozen=True)
class Total:
    pass


State = dict[str, Any]


def step(message: Hold | Release | Total, state: State) -> tuple[State, Any]:
    """Hold an amount, or release what is held."""
    holds, held = state["holds"], state["held"]
    match message:
        case Hold(name, amount):
            return {"holds": {**holds, name: amount}, "held": held + amount}, "Ok"
        case Release(name):
            return {"holds": holds, "held": held - holds.get(name, 0)}, "Ok"
        case Total():
            if held < 0:
                raise ArithmeticError(f"{held} held")
            return state, held


def init(_name: str, _args: object) -> State:
    return {"holds": {}, "held": 0}


LEDGER = StateMachine(step=step, init=init, inputs=Hold | Release | Total)
FAULT = 'return {"holds": holds, "held": held - holds.get(name, 0)}'
MENDED = Path(__file__).read_text().replace(
    FAULT,
    'rest = {key: value for key, value in holds.items() if key != name}\n'
    '            return {"holds": rest, "held": held - holds.get(name, 0)}',
    1,
)  # fmt: skip


def crashed_ledger(seed: int = 1, inputs: int = 400) -> Node:
    """A node whose ledger has crashed at the end of a random history."""
    r = Random(seed)
    tree = Supervisor("root", children=[Worker("ledger", LEDGER), Worker("other", LEDGER)])
    node = Node(tree, clock=ManualClock(), history=10_000).start()
    for number in range(inputs):
        node.call("ledger", Hold(f"h{number}", r.randint(1, 900)))
        node.call("other", Hold("x", 1))
    while True:
        node.call("ledger", Release(f"h{r.randrange(inputs)}"))
        try:
            node.call("ledger", Total())
        except CalleeCrashed:
            return node
