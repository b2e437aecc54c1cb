"""Noisy histories that end in a planted fault, each drawn by a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

from ssm_cli.behaviour.dispatch import Behaviour, Kind
from ssm_cli.history.trials import Given, Trial, crash_goal, own_run
from tests.history.planted.desk import (
    MACHINES,
    SERVERS,
    Ask,
    Cancel,
    Desk,
    Solve,
    Tick,
    machine_of,
)
from tests.history.planted.ledger import (
    LEAST,
    Close,
    Deposit,
    Hold,
    Move,
    Open,
    Read,
    Release,
    State,
    machine,
)

MOST = 6000
QUIET = 500  # inputs that are drawn before one may crash: a fault that comes earlier is passed over
NAMES = [*(f"acc{n}" for n in range(1, 30)), "Acc7", "ACC12", "Zoë", "naïve-1"]

Draw = Callable[[Random, Any], Given]


def of_ledger(chance: Random, state: State) -> Given:
    name, other = chance.choice(NAMES), chance.choice(NAMES)
    hold = chance.choice([*state.holds] or ["0"])
    amount = chance.choice([777, chance.randrange(1, 1000)])
    drawn = chance.choices(
        [Open(name), Deposit(name, amount), Hold(name, amount), Release(hold),
         Move(name, other, amount), Close(name), Read(name)],
        [6, 4, 3, 3, 3, 1, 6],
    )[0]  # fmt: skip
    return Kind.CALL, drawn


def of_desk(chance: Random, state: Desk) -> Given:
    number = chance.randrange(1, state.number + 3)
    return chance.choices(
        [(Kind.CALL, Ask(f"user-{chance.randrange(400)}", chance.randrange(5))),
         (Kind.CALL, Solve(number)), (Kind.CALL, Cancel(number)), (Kind.CAST, Tick()),
         (Kind.INFO, Tick())],
        [5, 3, 3, 1, 1],
    )[0]  # fmt: skip


def of_words(chance: Random, _state: Any) -> Given:
    word = chance.choice(["open", "close", "call", "tick", "call", "call"])
    return Kind.CAST, f"{word} session-{chance.randrange(60)}"


def drawn_trial(behaviour: Behaviour, begin: Any, draw: Draw, seed: int) -> Trial:
    """A trial of `QUIET` to `MOST` inputs; inputs that crash before are none of it."""
    chance, run, state = Random(seed), own_run(behaviour), begin
    inputs: list[Given] = []
    for _ in range(MOST):
        kind, message = draw(chance, state)
        try:
            outcome = run(state, kind, message)
        except Exception as error:  # noqa: BLE001 - that is what it is drawn for
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            if len(inputs) >= QUIET:
                return Trial(behaviour, begin, [*inputs, (kind, message)], crash_goal(error))
            continue
        if outcome.stop is None:
            inputs.append((kind, message))
            state = outcome.state
    raise AssertionError(f"seed {seed} draws no crash")


Planted = tuple[str, int, Callable[[], Trial]]


def planted() -> Iterator[Planted]:
    """Each planted fault: its name, the fewest inputs that it takes, and a history of it."""
    for number, (fault, least) in enumerate(LEAST.items()):
        yield (
            fault.__name__,
            least,
            partial(drawn_trial, machine(fault), State(), of_ledger, number),
        )
    for number, (server, least) in enumerate(SERVERS.items()):
        yield server.__name__, least, partial(drawn_trial, server(), Desk(), of_desk, number)
    for number, (fault, (begin, least)) in enumerate(MACHINES.items()):
        yield (
            fault.__name__,
            least,
            partial(drawn_trial, machine_of(fault), begin, of_words, number),
        )
