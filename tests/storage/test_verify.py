"""Verifying steps again: states, outputs, and what they ask for besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssm_cli import (
    CancelTimer,
    Cast,
    Defer,
    FolderStore,
    GenServer,
    ManualClock,
    Node,
    NoReply,
    Ok,
    Reply,
    StartTimer,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.effects import Exit
from ssm_cli.behaviour.results import Continue, TimeoutAfter
from ssm_cli.runtime.durable.records import NOT_TAKEN, Input
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.storage.contents import history
from ssm_cli.storage.verify import verify

ASKED: dict[str, Any] = {
    "nothing": (),
    "cast": [Cast("b", "one")],
    "another cast": [Cast("b", "two")],
    "cast to another": [Cast("a", "one")],
    "cast to none": [Cast("nobody", object())],
    "timer": [StartTimer("k", 50_000, "one")],
    "later timer": [StartTimer("k", 60_000, "one")],
    "cancel": [CancelTimer("k")],
    "defer": [Defer("d")],
    "exit": [Exit("normal")],
    "both": [CancelTimer("k"), Cast("b", "one")],
    "other order": [Cast("b", "one"), CancelTimer("k")],
}


def tree(asks: str) -> SupervisorSpec:
    """A worker that asks for one thing at each input, and one that is asked."""

    def step(message: str, state: int) -> Any:
        asked = ASKED[asks] if message == "go" else ()
        return (state + 1, "Ok", asked) if asked else (state + 1, "Ok")

    machine = StateMachine(step=step, init=lambda _n, _a: 0, state=int)
    workers = [Worker(name, machine, persist="journal", restart="temporary") for name in "ab"]
    return Supervisor("root", children=workers)


def left(folder: Path, spec: SupervisorSpec) -> FolderStore:
    """What a process leaves that was killed, to be read."""
    store = FolderStore(folder)
    node = Node(spec, store=store, clock=ManualClock(), guard=False).start()
    node.cast("a", b"go")
    node.cast("a", b"more")
    node.run()
    store.close()
    return FolderStore(folder, writing=False)


@pytest.mark.parametrize("then", ASKED)
def test_what_a_step_asks_for_is_the_same_by_the_same_code(tmp_path: Path, then: str) -> None:
    with left(tmp_path, tree(then)) as store:
        assert verify(store, tree(then)).problems == []


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("nothing", "cast"), ("cast", "nothing"), ("cast", "another cast"), ("nothing", "exit"),
        ("cast", "cast to another"), ("timer", "later timer"), ("timer", "cancel"),
        ("both", "other order"), ("nothing", "cast to none"), ("cancel", "nothing"),
    ],
)  # fmt: skip
def test_another_set_of_effects_is_a_problem_that_names_the_record(
    tmp_path: Path, then: str, now: str
) -> None:
    with left(tmp_path, tree(then)) as store:
        [problem] = verify(store, tree(now)).problems
        seq = next(n for n, r in history(store) if isinstance(r, Input) and r.data == b"go")
    assert (
        f"a does not start (differs): record {seq}: it comes to another set of effects" in problem
    )


class Server(GenServer):
    then: Any = None

    def init(self, name: str, args: Any) -> Any:
        return Ok(0)

    def handle_call(self, message: Any, caller: Any, state: int) -> Any:
        return Reply("Ok", state + 1, then=self.then)

    def handle_continue(self, message: Any, state: int) -> Any:
        return NoReply(state)


class Goes(Server):
    then = Continue("on")


class Waits(Server):
    then = TimeoutAfter(9_000)


@pytest.mark.parametrize("kind", [Server, Goes, Waits])
@pytest.mark.parametrize("now", [Server, Goes, Waits])
def test_what_comes_next_is_compared_too(tmp_path: Path, kind: Any, now: Any) -> None:
    def spec() -> SupervisorSpec:
        return Supervisor("root", children=[Worker("a", Server, persist="journal")])

    with FolderStore(tmp_path) as store:
        node = Node(spec(), store=store, clock=ManualClock(), guard=False).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Server, "then", kind.then)
            node.call("a", b"go")
    with FolderStore(tmp_path, writing=False) as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "then", now.then)
        assert (verify(store, spec()).problems == []) is (kind is now)


def test_records_of_an_older_ssm_have_no_effects_to_compare() -> None:
    assert Input("a", 0.0, "call", b"", "replied").effects_hash == NOT_TAKEN
