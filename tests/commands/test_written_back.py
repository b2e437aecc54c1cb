"""What a person writes in the place of a state is read exactly, or refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from math import inf
from typing import Any, ClassVar, NamedTuple

import msgspec
import pytest

from ssm_cli import (
    Event,
    EventHandler,
    GenServer,
    ManualClock,
    Next,
    Node,
    Ok,
    Statem,
    StateMachine,
    Supervisor,
    SysError,
    Worker,
)
from ssm_cli.behaviour.visible import Taken
from ssm_cli.codec.json import jsonable
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import instant
from ssm_cli.exit_codes import ExitCode
from ssm_cli.history.past import with_past

SECRET = "4111"  # noqa: S105 - made up


@dataclass(frozen=True)
class Stay:
    guest: str
    card: str
    paid: Decimal | None = None


@dataclass(frozen=True)
class Hotel:
    n: int = 0
    pin: int = 77
    stays: dict[int, Stay] = field(default_factory=dict)
    waiting: tuple[Stay, ...] = ()
    listed: list[Stay] = field(default_factory=list)
    misc: Any = None


HOTEL = Hotel(
    1, 77, {1: Stay("ann", SECRET)}, (Stay("bo", SECRET),), [Stay("cy", SECRET)],
    {"when": date(2026, 1, 2), "pair": (1, b"x"), "more": {2: Stay("di", SECRET)}},
)  # fmt: skip


def hide(value: Any) -> Any:
    """A redaction that goes down everywhere."""
    if isinstance(value, Stay):
        return replace(value, card="***")
    if isinstance(value, Hotel):
        parts = {
            name: hide(getattr(value, name)) for name in ("stays", "waiting", "listed", "misc")
        }
        return replace(value, pin="***", **parts)  # type: ignore[arg-type]  # it hides a number
    if isinstance(value, dict):
        return {key: hide(one) for key, one in value.items()}
    return type(value)(map(hide, value)) if isinstance(value, list | tuple) else value


def step(message: Any, state: Hotel) -> Any:
    return message(state) if callable(message) else state, state


MACHINE = StateMachine(step=step, init=lambda *_: HOTEL, redact=hide, state=Hotel)


def running(start: Any) -> Node:
    return Node(Supervisor("root", children=[Worker("a", start)]), clock=ManualClock())


def real(node: Node) -> Any:
    """The state itself, as its own code sees it."""
    seen: list[Any] = []
    node.replace_state("a", lambda state: seen.append(state) or state)  # type: ignore[func-returns-value]  # None
    return seen[0]


def run(node: Node, line: str) -> Any:
    command = parse_line(line, ("a",))
    assert command is not None
    return execute(command, node)


def shown(node: Node) -> Any:
    (found,) = run(node, "state a -o json").records
    return found


def put(node: Node, data: Any) -> Any:
    return run(node, "set a " + msgspec.json.encode(data).decode())


def test_hidden_parts_that_stand_as_shown_keep_what_they_hold() -> None:
    with running(MACHINE) as node:
        data = shown(node)
        assert SECRET not in str(data)
        assert put(node, data | {"n": 5}).exit_code == 0
        assert real(node) == replace(HOTEL, n=5)
        data["stays"]["1"]["guest"] = "eve"
        data["misc"]["more"]["2"]["card"] = "new"
        assert put(node, data).exit_code == 0
        found = real(node)
        assert found.stays == {1: Stay("eve", SECRET)}
        assert found.misc == {**HOTEL.misc, "more": {2: Stay("di", "new")}}


@pytest.mark.parametrize(
    "moved",
    [
        lambda data: data["stays"].update({"2": data["stays"]["1"]}),
        lambda data: data["waiting"].append(data["stays"]["1"]),
        lambda data: data["listed"].insert(0, {"guest": "x", "card": "y", "paid": None}),
        lambda data: data["listed"][0].update(guest="someone else"),
        lambda data: data["stays"]["1"].update(guest="***"),
    ],
    ids=["to a key", "behind a tuple", "along a list", "to another", "to another field"],
)
def test_what_is_shown_in_place_of_a_hidden_part_is_never_a_value(moved: Any) -> None:
    with running(MACHINE) as node:
        data = shown(node)
        moved(data)
        refused = put(node, data)
        assert (refused.exit_code, "hidden part" in refused.lines[0]) == (ExitCode.USAGE, True)
        assert real(node) == HOTEL


def test_a_redacted_state_is_not_put_back_from_python() -> None:
    with running(MACHINE) as node:
        with pytest.raises(SysError, match="hidden part"):
            node.replace_state("a", replace(node.get_state("a"), n=5))
        assert real(node) == HOTEL
        node.replace_state("a", replace(HOTEL, n=6))
        node.replace_state("a", lambda hotel: replace(hotel, n=hotel.n + 1))
        assert real(node) == replace(HOTEL, n=7)


class Safe(GenServer):
    def init(self, name: str, args: Any) -> Any:
        return Ok({"pin": 1234, "owner": "ann"})

    def format_status(self, value: Any) -> Any:
        return {key: one for key, one in value.items() if key != "pin"}


def test_parts_that_are_left_out_of_what_is_shown_stay() -> None:
    with running(Safe) as node:
        assert put(node, {"owner": "bo"}).exit_code == 0
        assert real(node) == {"pin": 1234, "owner": "bo"}
        with pytest.raises(SysError, match="hidden part"):
            node.replace_state("a", node.get_state("a"))
        assert real(node) == {"pin": 1234, "owner": "bo"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"nn": 1}, "no field `nn`"),
        ({"n": None}, "n"),
        ({"type": "Stay"}, "Hotel"),
        ({"stays": {"1": {"guest": "x", "card": "y", "paid": None, "due": 1}}}, "no field `due`"),
        ({"stays": {"3": {"guest": "x", "card": "y"}}}, "paid is missing"),
        ({"stays": {"3": None, "03": None}}, ""),
        ({"waiting": [{"guest": "x", "card": "y"}]}, "paid is missing"),
    ],
    ids=str,
)
def test_nothing_is_ignored_and_nothing_has_its_default(wrong: Any, why: str) -> None:
    plain = StateMachine(step=step, init=lambda *_: HOTEL, state=Hotel)
    with running(plain) as node:
        whole = shown(node)
        for data in (whole | wrong, {key: one for key, one in whole.items() if key != "n"}):
            refused = put(node, data)
            assert refused.exit_code == ExitCode.USAGE
            assert why in refused.lines[0] or "n is missing" in refused.lines[0]
            assert real(node) == HOTEL


class Span(NamedTuple):
    first: int
    last: int = 0


@pytest.mark.parametrize(
    ("said", "value", "text"),
    [
        (Span, Span(1, 2), "[3]"),
        (dict[str, Span], {"a": Span(1, 2)}, '{"b": [3]}'),
        (frozenset[Stay], frozenset({Stay("a", "b")}), '[{"guest": "x", "card": "y", "z": 1}]'),
        (dict[int, str], {1: "x"}, '{"1": "x", "01": "y"}'),
        (dict, {"x": 1}, '{"x": 1, "x": 2}'),
        (dict, {"x": [{"y": 1}]}, '{"x": [{"y": 1, "y": 2}]}'),
        (Any, {1: "a", "b": "c"}, '{"1": "a", "b": "c", "d": 1}'),
    ],
)
def test_what_does_not_say_all_is_refused(said: Any, value: Any, text: str) -> None:
    machine = StateMachine(step=step, init=lambda *_: value, state=said)
    with running(machine) as node:
        assert run(node, f"set a {text}").exit_code == ExitCode.USAGE
        assert real(node) == value


class Kind(Enum):
    SINGLE = 1


def test_values_whose_types_json_does_not_tell_stay_what_they_are() -> None:
    value = {
        "date": date(2026, 1, 2), "pair": (1, 2), "seal": b"x", "none": None, "big": inf,
        "kind": Kind.SINGLE,
        "keys": {1: "one", "1": "text", Kind.SINGLE: "member"}, "dates": [date(2026, 1, 2)],
    }  # fmt: skip
    with running(StateMachine(step=step, init=lambda *_: value)) as node:
        data = shown(node)
        assert len(data["keys"]) == len(value["keys"])  # type: ignore[arg-type]  # it is a dict
        assert put(node, data | {"none": 5}).exit_code == 0
        assert real(node) == value | {"none": 5}
        changed = data | {
            "date": "2026-01-03",
            "pair": [1, 3],
            "dates": ["2026-01-02", "2026-01-04"],
            "big": "-inf",
        }
        assert put(node, changed).exit_code == 0
        found = real(node)
        assert found["date"] == date(2026, 1, 3)
        assert (found["pair"], found["big"]) == ((1, 3), -inf)
        assert found["dates"] == [date(2026, 1, 2), date(2026, 1, 4)]
        assert put(node, changed | {"date": "no date"}).exit_code == ExitCode.USAGE


class Door(Statem):
    def init(self, name: str, args: Any) -> Any:
        return Next("closed", Stay("ann", SECRET))

    def closed(self, event: Any, data: Any) -> Any:
        return Next("opened", data)

    def opened(self, event: Any, data: Any) -> Any:
        return Next("closed", data)

    def format_status(self, value: Any) -> Any:
        return hide(value)


@pytest.mark.parametrize(
    "text",
    ['{"data": {"guest": "x", "card": "y", "paid": null}}', '{"state": "opened"}', '["opened"]',
     '["nowhere", {"guest": "x", "card": "y", "paid": null}]', "[5, null]"],
)  # fmt: skip
def test_a_statem_takes_a_state_that_it_has_and_its_data(text: str) -> None:
    with running(Door) as node:
        refused = run(node, f"set a {text}")
        assert refused.exit_code in (ExitCode.USAGE, ExitCode.CRASHED)
        assert "expected `array`" not in str(refused.lines)
        assert real(node) == ("closed", Stay("ann", SECRET))


@pytest.mark.parametrize("form", [lambda d: d, lambda d: [d["state"], d["data"]]])
def test_a_statem_keeps_what_it_hides(form: Any) -> None:
    with running(Door) as node:
        assert put(node, form(shown(node) | {"state": "opened"})).exit_code == 0
        assert real(node) == ("opened", Stay("ann", SECRET))
        with pytest.raises(SysError, match="nowhere"):
            node.replace_state("a", ("nowhere", Stay("ann", SECRET)))


class Counting(EventHandler):
    def init(self, args: Any, previous: Any) -> Any:
        return Ok(args)

    def handle_event(self, event: Any, state: Any) -> Any:
        return Ok(state + 1)


class Bus(Event):
    handlers: ClassVar[Any] = {"one": Counting}


def bus(start: int) -> Node:
    child = Worker("a", Bus, args={"handlers": {"one": start} if start else {}})
    return Node(Supervisor("root", children=[child]), clock=ManualClock())


def inside(node: Node) -> Any:
    return node._world.names["a"].state  # type: ignore[attr-defined]  # a worker's


def test_a_manager_takes_the_states_of_the_handlers_that_it_has() -> None:
    with bus(5) as node:
        data = shown(node)
        ((name, _),) = data
        wrong: Any
        for wrong in ([], [[name]], [["other", 7]], [[name, 7], [name, 8]], {}):
            assert put(node, wrong).exit_code == ExitCode.USAGE
            assert shown(node) == data
        assert put(node, [[name, 7]]).exit_code == 0
        assert shown(node) == [[name, 7]]


def test_the_state_of_another_tree_is_taken_whole() -> None:
    with bus(5) as node, bus(9) as other, bus(0) as bare:
        assert node.get_state("a") == [("one", 5)]
        node.replace_state("a", Taken(inside(other)))
        assert node.get_state("a") == [("one", 9)]
        with pytest.raises(SysError, match="handlers"):
            node.replace_state("a", Taken(inside(bare)))


def test_keys_that_look_alike_are_all_shown() -> None:
    assert jsonable({1: "a", "1": "b", "'1'": "c"}) == {"1": "a", "'1'": "b", "\"'1'\"": "c"}


def test_adopting_a_statem_or_a_manager_does_what_its_diff_says() -> None:
    tree = Supervisor(
        "root", children=[Worker("a", Door), Worker("bus", Bus, args={"handlers": {"one": 5}})]
    )
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        node.cast("a", "Open")
        node.cast("bus", "Booked")
        node.run(0.0)
        assert real(node) == ("opened", Stay("ann", SECRET))
        fork = node.perform("fork", at="2")["place"]
        node.perform("without", records="1 2", at=fork)
        for worker in ("a", "bus"):
            done = node.perform("adopt", worker=worker, why="test", sure="yes", at=fork)
            assert (done["adopted"], bool(done["changes"])) == (True, True)
        assert real(node) == ("closed", Stay("ann", SECRET))
        assert node.get_state("bus") == [("one", 5)]


def test_what_is_no_state_is_not_printed() -> None:
    with running(Door) as node, pytest.raises(SysError) as raised:
        node.replace_state("a", Stay("ann", SECRET))
    assert SECRET not in str(raised.value)
