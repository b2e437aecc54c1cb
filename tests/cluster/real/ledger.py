"""A worker that remembers what was written, in order: what is lost, doubled or moved shows."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ssm_cli import StateMachine, Supervisor, Worker


class Append(msgspec.Struct, frozen=True):
    """The next number of a client."""

    client: str
    n: int


class Dump(msgspec.Struct, frozen=True):
    """All numbers of a client."""

    client: str


class At(msgspec.Struct, frozen=True):
    """How many numbers the client has now."""

    place: int


class All(msgspec.Struct, frozen=True):
    """The numbers of a client, in order."""

    numbers: tuple[int, ...]


State = Mapping[str, tuple[int, ...]]


def init(name: str, args: Mapping[str, object]) -> State:
    return {}


def step(message: Append | Dump, state: State) -> tuple[State, At | All]:
    there = state.get(message.client, ())
    if isinstance(message, Dump):
        return state, All(there)
    there = (*there, message.n)
    return {**state, message.client: there}, At(len(there))


ledger = StateMachine(step=step, init=init, inputs=Append | Dump, outputs=At | All)

tree = Supervisor(
    "books",
    "one_for_one",
    [Worker("ledger", ledger, persist="journal", codec="json")],
    snapshot_every=500,
)
