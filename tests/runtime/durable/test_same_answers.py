"""A retry with a request id gets the answer that there was: its value, as it was then."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from ssm_cli import GenServer, NoReply, Ok, Reply, StateMachine, Stop
from tests.runtime.durable.parts import World, tree, worker


class Row(msgspec.Struct):
    n: int


OUTPUTS: list[Any] = [
    (1, 2), "Ok", 5, None, True, b"x", Row(3), {1: 2}, {"a": (1,)}, [1.0], {1, 2}, 2**70,
]  # fmt: skip
CODECS = pytest.mark.parametrize("codec", ["text", "json", "msgpack"])


def step(message: Any, state: int) -> Any:
    return state + 1, OUTPUTS[int(message)]


def world(codec: Any = "text", **more: Any) -> World:
    machine = StateMachine(step=step, init=lambda _n, _a: 0, codec=codec, **more)
    return World(tree(worker("a", machine)))


@CODECS
@pytest.mark.parametrize("outputs", [None, Any, Row | str], ids=str)
def test_it_is_of_the_same_type_and_value(codec: str, outputs: Any) -> None:
    w = world(codec, outputs=outputs)
    for n, expected in enumerate(OUTPUTS):
        first, again = (w.node.call("a", n, request_id=f"r{n}") for _ in range(2))
        assert (type(again), again) == (type(first), first) == (type(expected), expected)
        if codec == "text":
            both = [w.node.call("a", b"%d" % n, request_id=f"b{n}") for _ in range(2)]
            assert both[0] == both[1]
            assert type(both[0]) is type(both[1]) is bytes
    assert w.node.get_state("a") == (2 if codec == "text" else 1) * len(OUTPUTS), "each once"


def test_in_a_later_process_it_is_the_bytes_where_outputs_has_no_type() -> None:
    w = world()
    assert w.node.call("a", 0, request_id="r") == (1, 2)
    for again in (w.crash, w.restart):
        again()
        assert [w.node.call("a", 0, request_id="r") for _ in range(2)] == [b"[1, 2]"] * 2


class Books(GenServer):
    inputs: ClassVar[Any] = None

    def init(self, name: str, args: Any) -> Ok:
        return Ok([1])

    def handle_call(self, message: Any, caller: Any, state: list[int]) -> Any:
        match message:
            case "stop":
                return Stop("normal", state, reply=(1, len(state)))
            case "odd":
                return Reply(compile, state)
        return Reply(state, state)

    def handle_cast(self, message: Any, state: list[int]) -> Any:
        state.append(message)
        return NoReply(state)


def books() -> World:
    return World(tree(worker("a", Books, restart="permanent")))


def test_it_is_as_it_was_then_though_the_state_has_changed_in_place() -> None:
    w = books()
    assert w.node.call("a", "look", request_id="r") == [1]
    w.node.cast("a", 2)
    w.node.run()
    assert w.peek() == [1, 2]
    again = w.node.call("a", "look", request_id="r")
    assert again == [1]
    again.append(9)
    assert w.node.call("a", "look", request_id="r") == [1]


def test_so_it_is_of_the_one_that_ended_its_worker() -> None:
    w = books()
    assert [w.node.call("a", "stop", request_id="r") for _ in range(2)] == [(1, 1), (1, 1)]


def test_an_output_that_cannot_be_kept_is_given_as_it_is() -> None:
    w = books()
    assert [w.node.call("a", "odd", request_id="r") for _ in range(2)] == [compile, compile]
