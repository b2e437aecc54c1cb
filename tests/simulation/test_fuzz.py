from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from ssm_cli import FakeLinks, GenServer, Node, NoReply, Ok, Reply, StateMachine, Supervisor, Worker
from ssm_cli.errors import CommandError, Forgotten, SsmError
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.simulation import load
from ssm_cli.simulation.asking import with_futures
from ssm_cli.simulation.fuzz import Fuzzing, fuzz
from ssm_cli.simulation.pace import Pace
from ssm_cli.spec.model import Remote
from tests.simulation.weaknesses import FAULTY, MACHINES, Get, Put, alice

NEEDED = 8  # of the ten planted faults


def node_of(*workers: Any, history: int = 0) -> Node:
    tree = Supervisor("root", children=list(workers), intensity=99)
    return with_futures(Node(tree, clock=ManualClock(), history=history).start(), str)


def fuzzed(machine: Any, *, seed: int = 1, steps: int = 20_000, invariant: str = "") -> Any:
    node = node_of(Worker("w", machine))
    return fuzz(node, Fuzzing("w", seed, steps, invariant), Pace(60.0, float))


def test_faults_that_depend_on_the_state_are_found_from_the_real_state_on() -> None:
    found = [step.__name__ for step in FAULTY if fuzzed(MACHINES[step.__name__])["found"]]
    assert len(found) >= NEEDED, found


def test_what_was_found_is_shrunk_and_is_the_same_for_a_seed() -> None:
    first, again = (fuzzed(MACHINES["only_known"], seed=3) for _ in range(2))
    assert first == again
    assert first["inputs"] == 1
    assert "def test_w_value_error_in_only_known():" in first["test"]


def test_the_test_that_is_written_fails_until_the_fault_is_mended() -> None:
    told = fuzzed(MACHINES["in_order"])
    assert told["inputs"] <= 4
    found: dict[str, Any] = {}
    exec(compile(told["test"], "test_found.py", "exec"), found)  # noqa: S102 - it was just written
    (test,) = (value for name, value in found.items() if name.startswith("test_"))
    with pytest.raises(ValueError, match="three, then one"):
        test()


def test_a_rule_that_a_state_breaks_is_found_and_written_as_an_assertion() -> None:
    told = fuzzed(MACHINES["too_many"], invariant="len(state) < 5")
    assert told["found"]
    assert "assert not (not len(state) < 5)" in told["test"]


def test_a_rule_that_is_never_known_says_why_and_breaks_nothing() -> None:
    told = fuzzed(MACHINES["long_key"], invariant="state.carol > 3", steps=3)
    assert told["never"] == ["`state` has no .carol; it has alice, bob"]


def test_what_is_sound_is_said_to_be_after_so_many_inputs() -> None:
    machine = StateMachine(step=lambda message, state: (state, None), init=alice, inputs=Put | Get)
    told = fuzzed(machine, steps=500)
    assert (told["found"], told["steps"], told["test"]) == (False, 500, "")


def test_the_worker_keeps_its_state_even_if_it_changes_it_in_place() -> None:
    def changing(message: Any, state: dict[str, int]) -> tuple[dict[str, int], None]:
        state["count"] = state.get("count", 0) + 1
        return state, None

    node = node_of(Worker("w", StateMachine(step=changing, init=alice, inputs=Put)))
    before = dict(node.get_state("w"))
    fuzz(node, Fuzzing("w", 1, 100), Pace(60.0, float))
    assert node.get_state("w") == before


class Counter(GenServer):
    inputs = Put | Get

    def init(self, name: str, args: Any) -> Any:
        return Ok(3)

    def handle_call(self, message: Any, caller: Any, state: int) -> Any:
        return Reply(100 // (state - message.value if type(message) is Put else 7), state)

    def handle_cast(self, message: Any, state: int) -> Any:
        return NoReply(state)


def test_callbacks_are_fuzzed_like_steps() -> None:
    told = fuzzed(Counter)
    assert told["found"]
    assert "handle_call(Put(" in told["test"]


def stuck(message: Any, state: int) -> tuple[int, None]:
    while True:
        state += 1


def test_a_step_that_runs_away_is_cut_at_its_limit() -> None:
    machine = StateMachine(step=stuck, init=lambda _name, _args: 0, inputs=Get)
    node = node_of(Worker("w", machine, step_timeout=20))
    told = fuzz(node, Fuzzing("w", 1, 10), Pace(60.0, float))
    assert told["found"]
    assert "faulthandler" in told["test"]


@dataclass(frozen=True)
class Order:
    items: list[int]
    note: str
    total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", sum(self.items))


@dataclass(frozen=True)
class Doubled:
    items: list[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", [*self.items, *self.items])


@dataclass(frozen=True)
class Endless:
    size: int

    def __post_init__(self) -> None:
        while self.size > 1:
            pass


def too_large(message: Any, state: int) -> tuple[int, None]:
    size = message.total if type(message) is Order else len(message.items)
    if size > 5:
        raise ValueError("too large")
    return state, None


def zero(_name: str, _args: Any) -> int:
    return 0


def test_fields_that_a_class_makes_itself_are_not_written_and_the_others_are_shrunk() -> None:
    told = fuzzed(StateMachine(step=too_large, init=zero, inputs=Order))
    assert told["inputs"] == 1
    assert 'Order([6], "a")' in told["test"]


def test_what_no_test_can_be_written_of_was_found_all_the_same() -> None:
    told = fuzzed(StateMachine(step=too_large, init=zero, inputs=Doubled))
    assert (told["found"], told["test"]) == (True, "")
    assert told["said"].startswith("ValueError after ")
    assert "Doubled" in told["said"]
    assert told["said"].endswith("that its fields do not make again")


@dataclass(frozen=True)
class Sticky:
    items: list[int]

    def __post_init__(self) -> None:
        while len(self.items) == 1:
            pass


def test_a_class_that_does_not_make_simpler_inputs_does_not_hold_the_shrinking() -> None:
    def many(message: Any, state: int) -> tuple[int, int]:
        return state, 1 // (len(message.items) < 2)

    machine = StateMachine(step=many, init=zero, inputs=Sticky)
    node = node_of(Worker("w", machine, step_timeout=200))
    shrinks: list[str] = []

    def tell(what: str, *_: object) -> None:
        shrinks.extend([what] if "shrinking" in what else [])

    pace = Pace(0.2, lambda: time.perf_counter() if shrinks else 0.0, tell)  # the search takes none
    told = fuzz(node, Fuzzing("w", 1, 500), pace)
    assert shrinks
    assert (told["found"], told["test"]) == (True, "")
    assert told["said"].startswith("ZeroDivisionError after ")


@pytest.mark.parametrize("verb", ["fuzz", "chaos"])
def test_a_class_whose_inputs_take_for_ever_to_make_does_not_hold_the_run(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "MAKE_S", 0.01)
    machine = StateMachine(step=untyped, init=zero, inputs=Endless)
    node = node_of(Worker("w", machine, step_timeout=20))
    given = {"worker": "w"} if verb == "fuzz" else {"late": "1%"}
    gc.disable()  # a cut must not hit a finalizer of other tests, which cannot raise
    try:
        told = node.perform(verb, steps="20", **given)
    finally:
        gc.enable()
    assert told["stopped"] == ""


def untyped(message: Any, state: int) -> tuple[int, None]:
    return state, None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"worker": "nobody"}, "there is no worker `nobody`"),
        ({"worker": "fre"}, "there is no worker `fre`; did you mean free?"),
        ({"worker": "root"}, "there is no worker `root`; `tree` shows them"),
        ({"worker": "free"}, "free has no typed inputs"),
        ({"worker": "w", "seed": "one"}, "--seed takes a whole number"),
        ({"worker": "w", "steps": "0"}, "--steps takes a whole number from 1"),
        ({"worker": "w", "invariant": "state["}, "EXPR"),
        ({"worker": "w", "invariant": "state == {}"}, "does not hold in the state that w has"),
        ({"worker": "w", "begin": "77"}, "77"),
        ({"worker": "down"}, "down does not run"),
    ],
)
def test_what_cannot_be_fuzzed_is_refused_and_says_why(given: dict[str, str], said: str) -> None:
    free = Worker("free", StateMachine(step=untyped))
    machine = MACHINES["long_key"]
    node = node_of(Worker("w", machine), free, Worker("down", machine), history=20)
    node.call("w", Get("a"))
    node.terminate_child("root", "down")
    with pytest.raises(SsmError, match=None) as refused:
        node.perform("fuzz", **given)
    assert said in str(refused.value)


def test_a_fork_is_fuzzed_from_a_record_of_its_own_or_of_before() -> None:
    node = node_of(Worker("w", MACHINES["in_order"]), history=100)
    for key in "abc":
        node.call("w", Put(key, 1))
    place = node.perform("fork", record="2")["place"]
    node.perform("standing", place, reading=False).call("w", Put("own", 1))
    node.perform("standing", place, reading=False).call("w", Put("later", 1))
    inner = node.perform("fork", at=place)["place"]
    for at in (place, inner):
        for begin, puts in (("1", 1), ("2", 2), ("3", 3), ("now", 4)):
            given = {"worker": "w", "begin": begin, "at": at, "steps": "50"}
            with pytest.raises(CommandError, match="does not hold in the state"):
                node.perform("fuzz", **given, invariant=f"state.puts != {puts}")
            told = node.perform("fuzz", **given, invariant=f"state.puts == {puts}")
            assert told["found"], "it broke the rule, which held at first"
            assert told["replay"].endswith(f" --at {at}")
            assert (f"--from {begin} --at" in told["replay"]) == (begin != "now")
        with pytest.raises(Forgotten, match="there is no record 9"):
            node.perform("fuzz", worker="w", begin="9", at=at)


def test_a_remote_worker_is_fuzzed_where_it_runs() -> None:
    clock = ManualClock()
    tree = Supervisor("root", children=[Remote("far", "x.yaml")])
    node = Node(tree, clock=clock, links=FakeLinks(clock, {})).start()
    with pytest.raises(CommandError, match="runs on another computer"):
        fuzz(node, Fuzzing("far", 1, 10), Pace(5.0, float))
    node.stop()


@dataclass(frozen=True)
class Inc:
    pass


@dataclass(frozen=True)
class Check:
    pass


@dataclass(frozen=True)
class Pair:
    a: int = 3
    b: int = 3


def counting(message: Inc | Check, pair: Pair) -> tuple[Pair, None]:
    """Count in two places, and forget one of them at 5: that is the fault."""
    if type(message) is Inc:
        return Pair(pair.a + 1, pair.b + (pair.a != 5)), None
    if pair.a != pair.b:
        raise ArithmeticError(pair)
    return pair, None


def mended(message: Inc | Check, pair: Pair) -> tuple[Pair, None]:
    return (Pair(pair.a + 1, pair.b + 1), None) if type(message) is Inc else (pair, None)


PAIRS = StateMachine(step=counting, init=lambda _name, _args: Pair(), inputs=Inc | Check)


@pytest.mark.parametrize("before", range(6))
def test_a_fault_that_was_prepared_before_is_told_with_what_prepared_it(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = node_of(Worker("w", PAIRS), history=100)
    for _ in range(before):
        node.call("w", Inc())
    told = node.perform("fuzz", worker="w", steps="500")
    assert "state = Pair()\n" in told["test"]
    assert (told["test"].count("Inc()"), told["test"].count("Check()")) == (3, 1)
    assert told["said"].endswith("-> 4 inputs from init")
    found: dict[str, Any] = {}
    exec(compile(told["test"], "test_found.py", "exec"), found)  # noqa: S102 - it was just written
    (test,) = (value for name, value in found.items() if name.startswith("test_"))
    with pytest.raises(ArithmeticError):
        test()
    monkeypatch.setitem(test.__globals__, "counting", mended)
    test()


def test_a_past_that_does_not_lead_to_the_state_is_not_told() -> None:
    node = node_of(Worker("w", PAIRS), history=100)
    node.call("w", Inc())
    node.replace_state("w", lambda _: Pair(9, 9))
    node.call("w", Inc())
    told = node.perform("fuzz", worker="w", steps="500", invariant="state.a < 12")
    assert "state = Pair(9, 9)\n" in told["test"]
    assert "It begins with a state that the worker had" in told["test"]


def test_what_is_found_at_a_record_is_told_by_what_was_remembered_up_to_it() -> None:
    node = node_of(Worker("w", PAIRS), history=100)
    for _ in range(6):
        node.call("w", Inc())
    told = node.perform("fuzz", worker="w", steps="500", at="2", invariant="state.a < 7")
    assert "state = Pair()\n" in told["test"]
    assert told["test"].count("Inc()") in (3, 4)


@pytest.mark.parametrize("rule", ["input.value > 0", "output == 0", "kind == 'Put'", "record > 1"])
def test_a_rule_over_more_than_the_state_is_refused_with_its_column(rule: str) -> None:
    with pytest.raises(SsmError, match=r"column 1: `\w+` is not known here: it is about `state`$"):
        fuzzed(MACHINES["long_key"], invariant=rule)
