"""The straight way of a plain crash leaves behind exactly what the careful way does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.behaviour.results import Exited, Ignore
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
    crash: Callable[[Node, Any], BaseException], init: Any, messages: list[Any], **options: Any
) -> tuple[list[Any], list[Report], list[CrashReport], list[Any]]:
    """What callers are told, all reports, the crash reports, and the tree and counts at the end."""
    clock = ManualClock()
    with Node(tree(init, **options), clock=clock) as node:
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
        return told, list(node.reports()), node.crash_reports(), seen


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
    found = [left_behind(way, Inits(*inits), messages, **options) for way in (straight, careful)]
    assert found[0] == found[1]
    assert found[0][2]


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
