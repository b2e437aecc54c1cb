"""An input that is none of `inputs`: the error says who, what was expected, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    Cast,
    DecodeError,
    Event,
    EventHandler,
    GenServer,
    Join,
    KeepState,
    Next,
    Node,
    NoReply,
    Ok,
    PureStatem,
    Reply,
    StateEvent,
    Statem,
    StateMachine,
    Worker,
)
from ssm_cli.codec.strangers import is_stranger
from tests.runtime.workers import running


class Put(msgspec.Struct, frozen=True):
    key: str
    value: int = 0


class Get(msgspec.Struct, frozen=True):
    key: str


class Other(msgspec.Struct, frozen=True):
    """Of another worker."""

    n: int = 1


INPUTS = Put | Get
SAID = (
    "an Other is none of its inputs: send one of Put key:str [value:int], Get key:str, "
    "or name its class in `inputs`"
)


def take(message: Any, state: Any) -> Any:
    """What a callback does that knows its inputs alone: it falls through, or asks for a field."""
    match message:
        case Put(key):
            return {**state, key: message.value}
        case Get(key):
            return state
    return None if getattr(message, "n", 0) else message.key


def step(message: Any, state: Any) -> Any:
    now = take(message, state)
    return None if now is None else (now, "done")


class Server(GenServer):
    inputs = INPUTS

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        return Ok({}, effects=[Join("all")])

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        del caller
        now = take(message, state)
        return None if now is None else Reply("done", now)

    def handle_cast(self, message: Any, state: Any) -> Any:
        now = take(message, state)
        return None if now is None else NoReply(now)

    def handle_info(self, message: Any, state: Any) -> Any:
        raise ValueError(message)


def state_step(event: StateEvent, state: Any, data: Any) -> Any:
    del state
    now = take(event.content, data)
    return None if now is None else KeepState(now)


class Machine(Statem):
    inputs = INPUTS
    callback_mode = "handle_event_function"

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        return Next("on", {})

    def handle_event(self, event: StateEvent, state: Any, data: Any) -> Any:
        return state_step(event, state, data)


class Notes(EventHandler):
    def init(self, args: Any, previous: Any) -> Any:
        del args, previous
        return Ok({})

    def handle_event(self, event: Any, state: Any) -> Any:
        return Ok({**state, event.key: event.value})


class Bus(Event):
    inputs = INPUTS
    handlers = {"notes": Notes}  # noqa: RUF012 - as a user writes it

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        return {"notes": None}


PURE = StateMachine(step=step, init=lambda *_: {}, inputs=INPUTS)
PURE_STATEM = PureStatem(step=state_step, init=lambda *_: Next("on", {}), inputs=INPUTS)
STARTS: dict[str, Any] = {
    "pure": PURE, "server": Server, "statem": Machine, "pure statem": PURE_STATEM
}  # fmt: skip
CRASHING = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)


def crash_text(node: Node) -> str:
    node.run()
    return node.crash_reports("w")[-1].error_message


@CRASHING
def test_a_call_and_a_cast_with_it_say_what_the_worker_takes(start: Any) -> None:
    with running(Worker("w", start)) as node:
        with pytest.raises(CalleeCrashed) as raised:
            node.call("w", Other())
        assert str(raised.value).startswith("w crashed: BadReturnError: ")
        assert str(raised.value).endswith(f"; {SAID}")
        node.cast("w", Other())
        assert crash_text(node).endswith(f"; {SAID}")
        with pytest.raises(
            CalleeCrashed, match=r"AttributeError.*; an Other is none of its inputs"
        ):
            node.call("w", Other(0))


@CRASHING
def test_bytes_that_are_none_touch_nobody_and_are_told_alike(start: Any) -> None:
    with running(Worker("w", start)) as node:
        for ask in (b"Other 1", b"5", b""):
            with pytest.raises(DecodeError, match=r"expected Put key:str \[value:int\], Get key:"):
                node.call("w", ask)
        assert node.crash_reports() == []


@CRASHING
def test_a_cast_of_another_worker_and_a_publish_say_it_too(start: Any) -> None:
    sends = StateMachine(
        step=lambda message, state: (state, None, [Cast("w", message)]), init=lambda *_: 0
    )
    with running(Worker("w", start), Worker("s", sends)) as node:
        node.cast("s", Other())
        assert crash_text(node).endswith(SAID)
    with running(Worker("w", Server)) as node:
        node.publish("all", Other())
        assert crash_text(node).endswith(SAID)


def test_one_that_is_an_input_and_one_of_a_worker_with_free_inputs_are_told_as_they_were() -> None:
    free = StateMachine(step=lambda _message, state: (state, 1 // 0), init=lambda *_: 0)
    with running(Worker("w", free), Worker("s", Server)) as node:
        with pytest.raises(CalleeCrashed, match=r"by zero$"):
            node.call("w", Other())
        node.info("s", Other())  # a plain message is no input, and the fault is another one
        node.run()
        assert "none of" not in node.crash_reports("s")[-1].error_message


def test_the_end_of_a_handler_says_it() -> None:
    with running(Worker("w", Bus)) as node:
        node.cast("w", Other())
        node.run()
        (told,) = [report for report in node.reports() if report.event == "handler_removed"]
        assert told.detail["error"]["type"] == "AttributeError"
        assert "an Other is none of its inputs: send one of Put" in told.detail["error"]["message"]


class Colour(Enum):
    RED = 1


@pytest.mark.parametrize(
    ("inputs", "taken", "not_taken"),
    [
        (Put, Put("x"), Get("x")),
        (Put | None, None, 0),
        (Colour, Colour.RED, 1),
        (Put | Colour, Colour.RED, "RED"),
        (str, "word", b"word"),
        (dict[str, int], {}, []),
    ],
    ids=str,
)
def test_which_values_are_inputs_is_read_from_their_types(
    inputs: Any, taken: object, not_taken: object
) -> None:
    assert not is_stranger(inputs, taken)
    assert is_stranger(inputs, not_taken)


def test_a_value_that_lies_about_its_class_is_not_asked() -> None:
    class Liar:
        @property  # type: ignore[misc]  # as a liar does
        def __class__(self) -> Any:
            raise SystemExit

    assert is_stranger(Put, Liar())
