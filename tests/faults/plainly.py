"""Parts of the engine asked plainly, one function at a time: what no tree would come to soon."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from types import FunctionType
from typing import Any

import msgspec
from msgspec.structs import replace

from ssm_cli import (
    StateMachine,
)
from ssm_cli.behaviour import dispatch
from ssm_cli.codec.renames import Renames
from ssm_cli.runtime.durable import checks, code, life, records, snapshots, waiting
from ssm_cli.runtime.durable import values as values_module
from ssm_cli.runtime.durable.values import Values, text_of
from ssm_cli.spec import afresh
from tests.faults import recovery
from tests.faults.doors import tried
from tests.faults.recovery import machine, talk
from tests.faults.scenarios import flat
from tests.faults.stage import Own, Scenario, Stage, Utf8
from tests.faults.ticks import patched, refuse

Acts = Callable[[Stage], None]


class Called:
    """A step that is an object."""

    def __call__(self, message: str, state: int) -> Any:
        return state, message


class Fails(Utf8):
    """A codec that can write nothing."""

    def encode(self, value: object) -> bytes:
        if value == "own":
            raise Own("in a codec")
        raise ZeroDivisionError("as asked")


def outer(message: Any, state: Any) -> Any:
    """A function with another one in it."""

    def inner() -> Any:
        return state, message

    return inner()


def asked(stage: Stage, do: Callable[..., Any], *args: Any) -> Any:
    return stage.act(getattr(do, "__name__", "ask"), tried, do, *args)


MADE = StateMachine(step=talk, state=recovery.State, codec=Utf8())
OLD = Values("a", MADE, Utf8())
PLAINLY = Values("a", StateMachine(step=lambda _m, s: (s, 0), codec=Utf8()), Fails())
RENAMED = Values("a", MADE, Utf8(), Renames([(9, "x:A", "y:B")]))


def values(stage: Stage) -> None:
    """What writes and reads states and inputs; what names code."""
    asked(stage, Values, "a", StateMachine(step=talk, state=open), Utf8())
    with patched(values_module, "MAX_STATE_BYTES", 1):
        asked(stage, OLD.dump, (1, "a"))
    for state in ((1, "a"), object(), (1, 2)):
        for taken in (b"", b"x" * 16, OLD.hash((1, "a"))[0]):
            asked(stage, OLD.has_hash, state, taken)
    asked(stage, RENAMED.has_hash, (1, "a"), OLD.hash((2, "b"))[0], 1)
    by = records.Code(version="1", form="other")
    packed = msgspec.msgpack.encode
    for data in (packed((1, "a")), packed((1, 2)), packed(7), packed([1.5, "a"]), b"\xff", b""):
        asked(stage, OLD.revive, data, by)
        asked(stage, PLAINLY.revive, data, by)
        asked(stage, text_of, data)
    asked(stage, OLD.revive, OLD.dump((1, "a")), by)
    asked(stage, RENAMED.revive, OLD.dump((1, "a")), by, 1)
    for data in (b"\0raw", b"\0\0raw", OLD.dump(("x",)), b"\xc1", b"\xc1\xc1"):
        asked(stage, text_of, data)
        asked(stage, OLD.read, data)
        asked(stage, OLD.came, data)
    for message in ("own", "word"):
        asked(stage, PLAINLY.written, message)
    asked(stage, waiting.is_fixed, stage.scenario)

    names(stage)


def names(stage: Stage) -> None:
    """The code of a worker, by its names."""

    def interrupts(_old: str, _state: Any) -> Any:
        raise Own("in a migration")

    moving = Values("a", StateMachine(step=talk, version="2", migrate=interrupts), Utf8())
    asked(stage, moving.revive, msgspec.msgpack.encode(7), records.Code(version="1"))
    spelled: list[Any] = [partial(talk, "x"), Called(), Called, len, 7]
    for step in spelled:
        asked(stage, dispatch.callback_of, step)
        asked(stage, code.lasting_name, step)
        asked(stage, code.digest_of, step)
        asked(stage, code.state_type, StateMachine(step=step))
    afresh._digests.clear()
    asked(stage, code.digest_of, talk)
    nowhere = FunctionType(outer.__code__, {"__name__": "nowhere.to.be.found"})
    nowhere.__module__ = "nowhere.to.be.found"
    asked(stage, code.digest_of, nowhere)
    asked(stage, code.state_type, recovery.Keeps())


def entries(stage: Stage) -> None:
    """Entries and cells of another format, or none; ids of requests; lives that are repaired."""
    entry = records.encode_entry(b"\0" * 16, 1, [records.Note("s", 0.0, "e", "c")])
    body, packed = entry[records.CHAIN_BYTES :], msgspec.msgpack.encode

    def sealed(body: bytes) -> bytes:
        return blake2b(b"\0" * 16 + body, digest_size=16).digest() + body

    asked(stage, records.decode_entry, 1, b"\0" * 16, entry)
    newer = [records.FORMAT + 1, *msgspec.msgpack.decode(body)[1:]]
    for data in (packed(newer), packed([records.FORMAT + 1, 1, 7]), b"\xff", packed([1, "x"])):
        asked(stage, records.decode_entry, 1, b"\0" * 16, sealed(data))
    head = packed((records.FORMAT + 1, snapshots.Head()))
    cell = blake2b(head, digest_size=16).digest() + head
    asked(stage, snapshots.unpack, "head", cell, snapshots.Head)
    made = machine()
    kept = Values("a", made, Utf8())
    saved = kept.saved(0.0, 1, (True, kept.dump((1, "a"))), (), None)
    for other in (
        made,
        machine(recovery.broken),
        machine(recovery.outcast),
        machine(otherwise_own),
    ):
        for notes in (False, True):
            replayed(stage, other, saved, repairs=notes)


class Pressed(KeyboardInterrupt):
    """Ctrl-C in a step, which is told from the one that is thrown in."""


def otherwise_own(message: str, state: Any) -> Any:
    if message == "own":
        raise Own("in a step")
    if message == "leave":
        raise Pressed
    return (0, "x"), "y"


def left(do: Callable[..., Any], *args: Any) -> Any:
    """What it answers, unless somebody presses Ctrl-C in its step."""
    with suppress(Pressed):
        return tried(do, *args)


def replayed(stage: Stage, made: StateMachine, saved: Any, *, repairs: bool) -> None:
    """Inputs of an earlier process, in a life of some code."""
    kept = Values("a", made, Utf8())
    if repairs:
        one, _ = life.anew("a", made, kept, saved)
    else:
        one = life.Life("a", made, kept, saved, checks.Checks(kept, 2))
    outcome: Any
    for seq, (word, outcome) in enumerate(
        [("one", "replied"), ("timer", "replied"), ("ticked", "silent"), ("cancel", "replied"),
         ("odd", "replied"), ("two", "replied"), ("crash", "crashed"), ("own", "silent")], 2
    ):  # fmt: skip
        how: Any = "timer" if word == "ticked" else "call"
        record = records.Input(
            "a", 0.0, how, word.encode(), outcome, b"o" * 16, b"h" * 16, "1", key="t",
            cause=(3, 0) if how == "timer" else None,
        )  # fmt: skip
        asked(stage, one.again, seq, record)
    stage.act("leave", left, one.again, 10, replace(record, data=b"leave"))
    state = kept.dump((7, "x"))
    others: list[Any] = [
        records.Start("a", 0.0, 1, "saved", None, "1"),
        records.Start("a", 0.0, 1, "init", state, "1", goes_on=b"one"),
        records.Change("a", 0.0, state),
        records.Change("a", 0.0, b"\xff"),
        records.Repair("a", 0.0, "state", state, records.Code(), 1),
        records.Repair("a", 0.0, "as-new", None, records.Code(), 2),
        records.Change("a", 0.0, state, records.Code(machine="x:y")),
        records.Exit("a", 0.0, "normal", kept=False),
    ]
    for other in others:
        asked(stage, one.again, 30, other)
    asked(stage, one.finish)
    asked(stage, one.saved, 0.0, 40)
    one.has, one.state, one.trouble = True, (7, "x"), None
    with patched(life, "check_standing", refuse):
        asked(stage, one.finish)


SCENARIOS = [
    Scenario("values", flat("one_for_one"), values, may_end=True, kinds=()),
    Scenario("entries", flat("one_for_one"), entries, may_end=True),
]
