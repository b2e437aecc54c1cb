"""A ledger that holds amounts of accounts; each fault is switched on by its name."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli import StateMachine


class Open(msgspec.Struct, frozen=True):
    account: str


class Deposit(msgspec.Struct, frozen=True):
    account: str
    amount: int


class Hold(msgspec.Struct, frozen=True):
    account: str
    amount: int


class Release(msgspec.Struct, frozen=True):
    hold: str


class Move(msgspec.Struct, frozen=True):
    source: str
    target: str
    amount: int


class Close(msgspec.Struct, frozen=True):
    account: str


class Read(msgspec.Struct, frozen=True):
    account: str


class Mood(enum.Enum):
    CALM = "calm"
    GREEDY = "greedy"


class State(msgspec.Struct, frozen=True):
    balance: dict[str, int] = {}
    holds: dict[str, tuple[str, int]] = {}
    next_hold: int = 1
    moves: int = 0
    mood: Mood = Mood.CALM


class Held(msgspec.Struct, frozen=True):
    hold: str


Message = Open | Deposit | Hold | Release | Move | Close | Read
replace = msgspec.structs.replace


def step(message: Message, state: State) -> tuple[State, Any]:  # noqa: PLR0911 - one a message
    match message:
        case Open(account):
            return replace(state, balance={account: 0, **state.balance}), "ok"
        case Deposit(account, amount) if account in state.balance:
            return with_balance(state, account, amount), "ok"
        case Hold(account, amount) if account in state.balance:
            hold = str(state.next_hold)
            holds = {**state.holds, hold: (account, amount)}
            return replace(state, holds=holds, next_hold=state.next_hold + 1), Held(hold)
        case Release(hold) if hold in state.holds:
            return replace(state, holds={k: v for k, v in state.holds.items() if k != hold}), "ok"
        case Move(source, target, amount) if {source, target} <= state.balance.keys():
            moved = with_balance(with_balance(state, source, -amount), target, amount)
            return replace(moved, moves=state.moves + 1), "ok"
        case Close(account):
            left = {k: v for k, v in state.balance.items() if k != account}
            return replace(state, balance=left), "ok"
        case Read(account):
            return state, state.balance.get(account)
    return state, "refused"


def with_balance(state: State, account: str, amount: int) -> State:
    balance = {**state.balance, account: state.balance[account] + amount}
    return replace(state, balance=balance)


def hold_of_a_closed_account(message: Message, state: State) -> tuple[State, Any]:
    """Open, Hold, Close, Release: 4."""
    if isinstance(message, Release) and message.hold in state.holds:
        account, _ = state.holds[message.hold]
        state.balance[account]
    return step(message, state)


def overdrawn_by_moves(message: Message, state: State) -> tuple[State, Any]:
    """Open twice, Move, Read: 4; or one account, which is moved to itself, never."""
    if isinstance(message, Read) and state.balance.get(message.account, 0) < -500:
        raise ArithmeticError(f"{message.account}: {state.balance[message.account]}")
    return step(message, state)


def the_seventh_move(message: Message, state: State) -> tuple[State, Any]:
    """Open, seven Moves of it to itself: 8."""
    after, said = step(message, state)
    if after.moves == 7:
        raise OverflowError(f"{after.moves} moves")
    return after, said


def three_hundred_moves(message: Message, state: State) -> tuple[State, Any]:
    """300 Moves from init; one from a later state: 1."""
    after, said = step(message, state)
    if after.moves == 300:
        raise OverflowError(f"{after.moves} moves")
    return after, said


def large_amount(message: Message, state: State) -> tuple[State, Any]:
    """Open, Deposit: 2."""
    after, said = step(message, state)
    if any(amount > 6_000 for amount in after.balance.values()):
        raise OverflowError("too much")
    return after, said


def unicode_name(message: Message, state: State) -> tuple[State, Any]:
    """Open with a letter that is not ASCII: 1."""
    if isinstance(message, Open):
        message.account.encode("ascii")
    return step(message, state)


def names_collide(message: Message, state: State) -> tuple[State, Any]:
    """Open two accounts that differ in their case alone: 2."""
    after, said = step(message, state)
    if len({name.lower() for name in after.balance}) < len(after.balance):
        raise ValueError("two accounts of one name")
    return after, said


def two_holds_of_one(message: Message, state: State) -> tuple[State, Any]:
    """Open, Hold, Hold: 3."""
    after, said = step(message, state)
    held = [account for account, _ in after.holds.values()]
    if held and isinstance(message, Hold) and held.count(message.account) == 2:
        raise LookupError(f"{message.account} is held twice")
    return after, said


def released_in_disorder(message: Message, state: State) -> tuple[State, Any]:
    """Open, Hold, Hold, Release of the later one: 4."""
    if isinstance(message, Release) and message.hold in state.holds:
        first = next(iter(state.holds))
        assert first == message.hold or len(state.holds) != 2, f"{message.hold} before {first}"
    return step(message, state)


def balance_meets_another(message: Message, state: State) -> tuple[State, Any]:
    """Open twice, Deposit on each: 4."""
    after, said = step(message, state)
    full = [amount for amount in after.balance.values() if amount]
    if isinstance(message, Deposit) and len({*full}) < len(full):
        raise ValueError("two accounts of one balance")
    return after, said


def mood_changes(message: Message, state: State) -> tuple[State, Any]:
    """Open, Deposit (greedy), Close: 3."""
    after, said = step(message, state)
    if isinstance(message, Deposit) and message.amount == 777:
        return replace(after, mood=Mood.GREEDY), said
    if (
        isinstance(message, Close)
        and state.mood is Mood.GREEDY
        and message.account in state.balance
    ):
        raise PermissionError("not now")
    return after, said


def total_of_all(message: Message, state: State) -> tuple[State, Any]:
    """At most 1,000 a deposit, more than 5,500 in all: Open, six Deposits: 7."""
    if isinstance(message, Deposit) and message.amount > 1000:
        return state, "refused"
    after, said = step(message, state)
    if sum(after.balance.values()) > 5500:
        raise OverflowError(f"{sum(after.balance.values())} in all")
    return after, said


def machine(fault: Callable[[Any, Any], Any]) -> StateMachine:
    return StateMachine(step=fault, init=lambda _name, _args: State(), inputs=Message)


LEAST: dict[Callable[[Any, Any], Any], int] = {
    hold_of_a_closed_account: 4,
    overdrawn_by_moves: 4,
    the_seventh_move: 8,
    three_hundred_moves: 1,
    large_amount: 2,
    unicode_name: 1,
    names_collide: 2,
    two_holds_of_one: 3,
    released_in_disorder: 4,
    balance_meets_another: 4,
    mood_changes: 3,
    total_of_all: 7,
}
"""Each fault of the ledger, and the fewest inputs that it takes."""
