"""The straight way of a plain crash leaves behind exactly what the careful way does."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest

from ssm_cli import ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.behaviour.results import Exited, Ignore
from ssm_cli.runtime.engine.crashes import KEPT_CRASHES
from ssm_cli.runtime.reports import MOST_TEXT
from ssm_cli.runtime.views import CrashReport, Report
from ssm_cli.spec.model import Backoff, SupervisorSpec


class Inits:
    """An `init` whose answers are given; an exception among them is raised, the last one stays."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def __call__(self, _name: str, _args: Any) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def step(message: Any, state: int) -> Any:
    """Count; a class of errors is raised, a list is a bad answer."""
    if isinstance(message, type):
        raise message("as asked")
    return message if isinstance(message, list) else (state + 1, state)


def tree(init: Any, **options: Any) -> SupervisorSpec:
    """Two workers under `one_for_one`."""
    machine = StateMachine(step=step, init=init)
    return Supervisor(
        "root", children=[Worker("one", machine, **options), Worker("two", machine)], intensity=2
    )


def straight(node: Node, message: Any) -> BaseException:
    """Crash `one`; nobody listens at the moment of the outcome."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is compared
        node.call("one", message)
    return caught.value


def careful(node: Node, message: Any) -> BaseException:
    """Crash `one` with somebody who listens, so that the careful way is taken."""
    pending = node.send_request("one", message, notify=lambda _: None)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is compared
        node.wait(pending)
    return caught.value


def left_behind(
    crash: Callable[[Node, Any], BaseException],
    init: Any,
    messages: list[Any],
    *,
    watched: bool,
    **options: Any,
) -> tuple[list[Any], list[Report], list[CrashReport], list[Any]]:
    """What callers are told, all reports, the crash reports, and the tree and counts at the end.

    Where it is `watched`, the reports are those that a reader has been told of.
    """
    clock = ManualClock()
    with Node(tree(init, **options), clock=clock) as node:
        read = list(node.reports())
        if watched:
            node.subscribe(read.append)
        node.call("one", "count")
        told: list[Any] = []
        for message in messages:
            clock.advance_s(0.25)
            error = crash(node, message)
            told.append((type(error), str(error), repr(vars(error))))
            if not node.running:
                break
        seen: list[Any] = []
        if node.running:
            seen = [node.tree(), node.exists("one") and node.statistics("one")]
        return told, list(read if watched else node.reports()), node.crash_reports(), seen


ZERO, KEY = ZeroDivisionError, KeyError


@pytest.mark.parametrize(
    ("inits", "messages", "options"),
    [
        ([0], [ZERO], {}),
        ([0], [ZERO, KEY], {}),
        ([0], [ZERO, KEY, ZERO], {}),
        ([0], [["no", "answer", "at", "all"]], {}),
        ([0, 0, ValueError("no"), 0], [ZERO], {}),
        ([0, 0, ValueError("no")], [ZERO], {}),
        ([0, 0, Ignore()], [ZERO], {}),
        ([0, 0, Exited("later"), 0], [ZERO], {}),
        ([0], [ZERO], {"restart": "temporary"}),
        ([0], [ZERO], {"restart": "transient"}),
        ([0], [ZERO], {"backoff": Backoff()}),
        ([0], [ZERO], {"on_crash": "last_good"}),
    ],
    ids=[
        "one", "two", "too many", "bad answer", "start fails once", "start fails", "ignore",
        "exit in init", "temporary", "transient", "backoff", "last good",
    ],
)  # fmt: skip
def test_the_straight_way_leaves_behind_what_the_careful_way_does(
    inits: list[Any], messages: list[Any], options: dict[str, Any]
) -> None:
    first, *others = [
        left_behind(way, Inits(*inits), messages, watched=watched, **options)
        for way in (straight, careful)
        for watched in (False, True)
    ]
    assert first[2]
    assert others == [first] * 3


def test_a_reader_of_reports_sees_each_of_a_crash_as_it_happens() -> None:
    with Node(tree(Inits(0)), clock=ManualClock()) as node:
        read: list[Report] = []
        node.subscribe(read.append)
        before = node.reports()[-1].seq
        straight(node, ZERO)
        assert read == list(node.reports(after=before))
        assert [report.event for report in read] == [
            "crashed", "terminating", "terminated", "restarting", "starting", "started",
        ]  # fmt: skip


def test_reports_of_a_crash_are_numbered_without_a_gap_where_reading_begins_among_them() -> None:
    with Node(tree(Inits(0)), clock=ManualClock()) as node:
        straight(node, ZERO)
        every = list(node.reports())
        assert [report.seq for report in every] == list(range(1, len(every) + 1))
        for after in range(len(every)):
            assert list(node.reports(after=after)) == every[after:]


def calls_of(function: Callable[..., object], *args: Any) -> int:
    """How many Python functions a call takes."""
    count = 0

    def profile(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function(*args)
    finally:
        sys.setprofile(before)
    return count


def test_a_crash_that_is_read_as_it_happens_costs_what_its_six_reports_do() -> None:
    clock = ManualClock()
    with Node(tree(Inits(0)), clock=clock) as node:
        straight(node, ZERO)
        alone = calls_of(straight, node, ZERO)
        clock.advance_s(60)
        node.subscribe(lambda _: None)
        straight(node, ZERO)
        assert calls_of(straight, node, ZERO) <= alone + 6 * 15


class State:
    """A state to which a test can refer weakly."""


def test_a_crash_is_told_in_full_while_its_note_is_kept_and_holds_no_state_afterwards() -> None:
    states = []

    def init(_name: str, _args: Any) -> State:
        state = State()
        states.append(ref(state))
        return state

    def boom(message: str, _state: State) -> tuple[State, None]:
        raise ZeroDivisionError(message)

    machine = StateMachine(step=boom, init=init)
    flags = Supervisor("root", children=[Worker("one", machine)], intensity=10**6)
    with Node(flags, clock=ManualClock()) as node:
        for number in range(KEPT_CRASHES + 1):
            straight(node, f"crash {number}")
        gc.collect()
        assert [state() is None for state in states] == [True] + [False] * (KEPT_CRASHES + 1)
        kept = node.crash_reports()
        assert [report.input for report in kept] == [
            f"crash {number}" for number in range(1, KEPT_CRASHES + 1)
        ]
        assert all("in boom" in report.stack[-1] for report in kept)
        crashed = [report for report in node.reports() if report.event == "crashed"]
        assert [report.detail["input"] for report in crashed] == [
            f"crash {number}" for number in range(KEPT_CRASHES + 1)
        ]


def test_a_reader_that_stops_the_node_at_a_crash_hears_of_all_that_follows_in_order() -> None:
    with Node(tree(Inits(0)), clock=ManualClock()) as node:
        read: list[Report] = []

        def reader(report: Report) -> None:
            read.append(report)
            if report.event == "crashed":
                node.stop()

        node.subscribe(reader)
        straight(node, ZERO)
        assert not node.running
        assert read == list(node.reports())[-len(read) :]
        assert (read[0].event, read[-1].event) == ("crashed", "stopped")


def test_a_reader_that_fails_among_the_reports_of_a_crash_is_let_go_and_others_hear_all() -> None:
    with Node(tree(Inits(0)), clock=ManualClock()) as node:
        read: list[Report] = []

        def failing(report: Report) -> None:
            if report.event == "terminated":
                raise ValueError(report.event)

        node.subscribe(failing)
        node.subscribe(read.append)
        straight(node, ZERO)
        assert [report.event for report in read] == [
            "crashed", "terminating", "terminated", "restarting", "starting", "started",
        ]  # fmt: skip


class Mine(ValueError):
    """An error of the user's, whose text is made with care."""


class Shown(KeyError):
    """The same, of a kind that shows what it was given."""


@pytest.mark.parametrize(
    "said",
    [
        ("plain",), (), ("",), ("two", "texts"), (10**5_000, "text"), (7,), (10**5_000,),
        ("x" * 5_000,), ("caf\xe9",), ("caf\udce9" * 500,), ("line\nnext\x00",), (b"\xff",),
        (None,), ([],),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kinds", [(ValueError, Mine), (KeyError, Shown)])
def test_an_error_of_pythons_own_says_at_a_glance_what_it_says_by_a_closer_look(
    kinds: tuple[type[Exception], type[Exception]], said: tuple[Any, ...]
) -> None:
    def fail(kind: type[Exception] | None, state: int) -> Any:
        if kind is not None:
            raise kind(*said)
        return state, state

    machine = StateMachine(step=fail, init=lambda _name, _args: 0)
    first, second = (kind.__name__ for kind in kinds)
    shown = f"<{first} that", f"<{second} that"
    with Node(Supervisor("root", children=[Worker("one", machine)], intensity=9)) as node:
        node.call("one", None)  # the time of the first is taken, in a frame of its own
        glance, look = (straight(node, kind) for kind in kinds)
        assert str(glance).replace(first, second, 1).replace(*shown) == str(look)
        assert str(glance).encode()
        errors = [one.detail["error"] for one in node.reports() if one.event == "crashed"]
        texts = [one["message"].replace(*shown) for one in errors]
        assert texts[0] == texts[1]
        assert len(errors[0]["message"]) <= MOST_TEXT
