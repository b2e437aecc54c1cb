"""Specs built by hand: problems in words, and OTP's terms."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.spec.keys import ROOT, fault
from ssm_cli.spec.model import (
    MAX_DEPTH,
    AutoShutdown,
    Backoff,
    ChildSpec,
    Restart,
    Strategy,
    Supervisor,
    SupervisorSpec,
    Worker,
    WorkerOptions,
    WorkerSpec,
)
from ssm_cli.spec.schema import json_schema
from ssm_cli.spec.validate import check_childspecs, check_flags, check_spec

ECHO = StateMachine(step=lambda message, state: (state, message))


class Plain:
    """A codec of the user's own."""

    def decode(self, data: bytes) -> object:
        return data

    def encode(self, value: object) -> bytes:
        return bytes(str(value), "utf-8")


def wrong(value: object) -> Any:
    """A value of the wrong type, for a field that no type checker would let it into."""
    return value


def worker(**options: object) -> WorkerSpec:
    return WorkerSpec("w", ECHO, {}, WorkerOptions(**wrong(options)))


def child_supervisor(**fields: object) -> SupervisorSpec:
    return SupervisorSpec("s", **wrong(fields))


def test_a_good_tree_has_no_problems() -> None:
    tree = Supervisor(
        "root",
        auto_shutdown="all_significant",
        children=[
            Worker("a", ECHO, codec=Plain(), backoff=Backoff()),
            Worker("b", ECHO, significant=True, restart="temporary", shutdown="infinity"),
            Supervisor("s", "simple_one_for_one", [Worker("t", ECHO)], max_children=3),
        ],
    )
    assert check_spec(tree) == []


@pytest.mark.parametrize(
    ("child", "path", "message"),
    [
        (worker(restart="sometimes"), "r/w.restart", 'is the text "sometimes"; expected perm'),
        (worker(restart="permanent"), "r/w.restart", "expected Restart.PERMANENT"),
        (worker(shutdown_ms=-5), "r/w.shutdown", "is -5; expected a whole number of at least 0"),
        (worker(significant="yes"), "r/w.significant", 'is the text "yes"; expected true or false'),
        (worker(step_timeout_ms=None), "r/w.step_timeout", "is nothing; expected a number"),
        (worker(codec="yaml"), "r/w.codec", 'is the text "yaml"; expected text, json or msgpack'),
        (worker(codec=7), "r/w.codec", "is 7; expected text, json or msgpack"),
        (worker(label=None), "r/w.label", "is nothing; expected text"),
        (worker(backoff=5), "r/w.backoff", "is 5; expected a Backoff or None"),
        (worker(backoff=Backoff(jitter=2)), "r/w.backoff.jitter", "is 2; expected a number of"),
        (worker(backoff=Backoff(max_ms=1)), "r/w.backoff.max", "is 1, less than initial"),
        (WorkerSpec("w", ECHO, wrong([1])), "r/w.args", "is a list; expected a mapping"),
        (WorkerSpec("w", ECHO, {}, wrong(None)), "r/w.options", "is nothing; expected Worker"),
        (WorkerSpec("w", print), "r/w.start", "is the function print; expected a StateMachine"),
        (WorkerSpec(wrong(7), ECHO), "r/child#1.worker", "is 7; expected 1 to 200 letters"),
        (WorkerSpec("a/b", ECHO), "r/child#1.worker", 'is the text "a/b"; expected 1 to 200'),
        (wrong("w"), "r/child#1", 'is the text "w"; expected a Worker, a Supervisor or a Remote'),
        (child_supervisor(strategy="all"), "r/s.strategy", 'is the text "all"; expected one_for'),
        (child_supervisor(intensity=1.5), "r/s.intensity", "is 1.5; expected a whole number"),
        (child_supervisor(period_s=float("nan")), "r/s.period", "is nan; expected a number"),
        (child_supervisor(max_children=1), "r/s.max_children", "has no meaning under one_for_one"),
        (child_supervisor(children=5), "r/s.children", "is 5; expected a list of children"),
        (child_supervisor(queue=5), "r/s.queue", "is set; expected it at the root only"),
        (child_supervisor(init=5), "r/s.init", "is 5; expected a function init(name), or None"),
        (
            child_supervisor(strategy=Strategy.SIMPLE_ONE_FOR_ONE),
            "r/s.children",
            "has no children under simple_one_for_one; expected exactly one, the template",
        ),
        (
            child_supervisor(significant=True, restart=Restart.TRANSIENT),
            "r/s.significant",
            "is true with auto_shutdown never",
        ),
    ],
)
def test_each_wrong_field_is_a_problem(child: ChildSpec, path: str, message: str) -> None:
    (problem,) = check_spec(SupervisorSpec("r", children=(child,)))
    assert problem.path == path
    assert message in problem.message


def test_something_that_is_no_supervisor_is_a_problem() -> None:
    (problem,) = check_spec(wrong(None))
    assert problem.message == "is nothing; expected a Supervisor"


def test_shared_settings_are_checked_for_each_worker_that_has_them() -> None:
    options = WorkerOptions(shutdown_ms=-1)
    twins = tuple(WorkerSpec(name, ECHO, {}, options) for name in ("a", "b"))
    problems = check_spec(SupervisorSpec("r", children=twins))
    assert [problem.path for problem in problems] == ["r/a.shutdown", "r/b.shutdown"]


def test_one_node_in_many_places_is_a_duplicate_and_looked_into_once() -> None:
    tree = Supervisor("leaf")
    for level in range(60):
        tree = Supervisor(f"s{level}", children=[tree, tree])
    problems = check_spec(tree)
    assert len(problems) == 60
    assert {problem.message.split(",")[0] for problem in problems} == {
        "has the name of another node"
    }


def test_supervisors_deeper_than_the_bound_are_a_problem() -> None:
    tree = Supervisor("s0")
    for level in range(1, MAX_DEPTH):
        tree = Supervisor(f"s{level}", children=[tree])
    assert check_spec(tree) == []
    (problem,) = check_spec(Supervisor("top", children=[tree]))
    assert "is more than 100 supervisors deep" in problem.message


@pytest.mark.parametrize(
    ("fields", "term"),
    [
        ({}, None),
        ({"strategy": "two_for_one"}, {"invalid_strategy": "two_for_one"}),
        ({"intensity": -1}, {"invalid_intensity": -1}),
        ({"period_s": 0}, {"invalid_period": 0}),
        ({"auto_shutdown": "maybe"}, {"invalid_auto_shutdown": "maybe"}),
        ({"auto_shutdown": "maybe", "intensity": "x"}, {"invalid_intensity": "x"}),
    ],
)
def test_otps_term_for_the_first_wrong_flag(fields: dict[str, object], term: object | None) -> None:
    assert check_flags(child_supervisor(**fields)) == term


NEVER = {"bad_combination": {"auto_shutdown": "never", "significant": True}}
PERMANENT = {"bad_combination": {"restart": "permanent", "significant": True}}


@pytest.mark.parametrize(
    ("child", "auto_shutdown", "term"),
    [
        (worker(), "never", None),
        (worker(restart=Restart.TRANSIENT, significant=True), "any_significant", None),
        (child_supervisor(shutdown_ms="infinity"), "never", None),
        (worker(restart="sometimes"), "never", {"invalid_restart_type": "sometimes"}),
        (worker(shutdown_ms=-5), "never", {"invalid_shutdown": -5}),
        (worker(shutdown_ms="gently"), "never", {"invalid_shutdown": "gently"}),
        (worker(significant="yes"), "never", {"invalid_significant": "yes"}),
        (worker(restart=Restart.TRANSIENT, significant=True), "never", NEVER),
        (worker(restart=Restart.TRANSIENT, significant=True), AutoShutdown.NEVER, NEVER),
        (worker(significant=True), "any_significant", PERMANENT),
        (worker(significant=True, shutdown_ms=-5), "all_significant", PERMANENT),
        (wrong("w"), "never", {"invalid_child_spec": "w"}),
        (SupervisorSpec(wrong(7)), "never", {"invalid_child_spec": SupervisorSpec(wrong(7))}),
    ],
)
def test_otps_term_for_a_wrong_child_spec(
    child: ChildSpec, auto_shutdown: object, term: object | None
) -> None:
    assert check_childspecs([child], auto_shutdown) == term


def test_otps_term_for_a_name_given_twice_comes_after_those_of_the_specs_before() -> None:
    good, bad = worker(), msgspec.structs.replace(worker(shutdown_ms=-1), id="bad")
    assert check_childspecs([good, good], "never") == {"duplicate_child_name": "w"}
    assert check_childspecs([good, bad, good], "never") == {"invalid_shutdown": -1}


@pytest.mark.parametrize("key", ["intensity", "queue", "period"])
def test_the_bound_of_all_numbers_is_told_where_it_is_passed_and_in_the_schema(key: str) -> None:
    assert "and below 1e18" in str(fault(ROOT[key], 10**18))
    assert "below" not in str(fault(ROOT[key], -1))
    assert fault(ROOT[key], 10**18 - 1) is None
    assert json_schema()["properties"][key]["exclusiveMaximum"] == 1e18
