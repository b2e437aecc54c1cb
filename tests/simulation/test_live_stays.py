"""Whatever is tried beside a live tree: it stays as it is, soon goes on, and is told no untruth."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from ssm_cli import Node, StateMachine, Supervisor, Worker
from ssm_cli.errors import CommandError
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.simulation import fuzz as fuzzing
from ssm_cli.simulation import patience
from ssm_cli.simulation.asking import chaos_in, check_policy_in, with_futures
from ssm_cli.simulation.faults import FaultKind, Weight, read_weight, weights_text
from ssm_cli.simulation.fuzz import Fuzzing, fuzz
from ssm_cli.simulation.pace import Pace
from ssm_cli.spec.model import Strategy
from tests.simulation.weaknesses import Add, sound, sound_workers, zero


def node_of(machine: Any, **options: Any) -> Node:
    tree = Supervisor("root", children=[Worker("w", machine, **options)], intensity=99)
    return with_futures(Node(tree, clock=ManualClock()).start(), str)


class Locked:
    def __init__(self, error: BaseException | None = None) -> None:
        self.total, self.lock, self.error = 0, threading.Lock(), error

    def __deepcopy__(self, memo: object) -> Locked:
        if self.error is not None:
            raise self.error
        return type(self)(deepcopy(self.lock))  # type: ignore[arg-type]  # which fails


def adding(message: Add, state: Locked) -> tuple[Locked, int]:
    state.total += 1
    return state, state.total


@pytest.mark.parametrize("verb", ["fuzz", "chaos"])
@pytest.mark.parametrize("error", [None, ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_a_state_that_cannot_be_copied_is_refused_and_stays(
    verb: str, error: BaseException | None
) -> None:
    locked = Locked(error)
    node = node_of(StateMachine(step=adding, init=lambda _name, _args: locked, inputs=Add))
    given = {"worker": "w"} if verb == "fuzz" else {}
    with pytest.raises(CommandError, match="cannot be copied"):
        node.perform(verb, **given)
    assert locked.total == 0


def endless(message: Add, state: int) -> tuple[int, None]:
    while True:
        state += 1


@pytest.mark.parametrize("limit", ["infinity", 3_600_000])
def test_a_step_without_a_limit_that_hangs_is_cut_and_told(
    limit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzing, "HANG_S", 0.02)
    monkeypatch.setattr(patience, "HANG_S", 0.02)
    node = node_of(StateMachine(step=endless, init=zero, inputs=Add), step_timeout=limit)
    told = node.perform("fuzz", worker="w", steps="5")
    assert "StepTimeout" in told["test"]
    assert node.perform("chaos", steps="2", late="1%")["cut"] == 2
    assert node.get_state("w") == 0


def interrupting(message: Add, state: int) -> tuple[int, None]:
    raise KeyboardInterrupt


def exiting(message: Add, state: int) -> tuple[int, None]:
    raise SystemExit(5)


def closing(message: Add, state: int) -> tuple[int, None]:
    raise GeneratorExit


@pytest.mark.parametrize(
    ("step", "error"),
    [(interrupting, "KeyboardInterrupt"), (exiting, "SystemExit"), (closing, "GeneratorExit")],
)
def test_whatever_code_raises_is_a_crash_that_was_found(step: Any, error: str) -> None:
    node = node_of(StateMachine(step=step, init=zero, inputs=Add))
    assert error in fuzz(node, Fuzzing("w", 1, 5), Pace(60.0, float))["test"]
    told = node.perform("chaos", steps="5", late="1%")
    assert (told["failed"], told["survived"]) == ({"crashed": 5}, True)
    assert node.get_state("w") == 0


def test_an_init_that_raises_a_keyboard_interrupt_in_a_fork_fails_like_any_other() -> None:
    lives = iter([0])

    def init(_name: str, _args: object) -> int:
        for life in lives:
            return life
        raise KeyboardInterrupt

    node = node_of(StateMachine(step=sound.step, init=init, inputs=Add))
    assert not node.perform("chaos", steps="5", crash="100%")["survived"]
    assert node.running


@pytest.mark.parametrize("verb", ["fuzz", "chaos"])
def test_a_real_ctrl_c_goes_on_to_end_the_run(verb: str) -> None:
    def step(message: Add, state: int) -> tuple[int, None]:
        signal.raise_signal(signal.SIGINT)
        return state, None

    node = node_of(StateMachine(step=step, init=zero, inputs=Add))
    with pytest.raises(KeyboardInterrupt):
        node.perform(verb, **({"worker": "w"} if verb == "fuzz" else {"late": "1%"}))


def ticking(by_s: float) -> Iterator[float]:
    return itertools.count(0.0, by_s)


def test_the_time_of_the_machine_is_looked_at_for_each_input() -> None:
    machine = StateMachine(step=lambda message, state: (state, None), init=zero, inputs=Add)
    clock = ticking(1.0)
    told = fuzz(node_of(machine), Fuzzing("w", 1, 1000), Pace(10.0, lambda: next(clock)))
    assert (told["stopped"], told["steps"]) == ("10 s", 10)
    clock = ticking(30.0)
    told = chaos_in(Supervisor("root", children=sound_workers()), "t", {}, str, lambda: next(clock))
    assert (told["stopped"], told["taken"]) == ("120 s", 4)


@pytest.mark.parametrize("share", [1e-7, 0.0000123, 0.07, 1 / 3, 1.0])
def test_a_share_is_printed_as_it_is_taken(share: float) -> None:
    option, word = weights_text([Weight(FaultKind.CRASH, "*", share)]).split()
    assert option == "--crash"
    assert read_weight(FaultKind.CRASH, word, ["w"]).share == pytest.approx(share, rel=1e-13)


def test_a_pool_of_a_file_is_named_as_not_tried_and_nothing_tried_is_no_pass() -> None:
    pool = Supervisor("pool", Strategy.SIMPLE_ONE_FOR_ONE, [Worker("t", sound)])
    alone: list[Any] = [pool]
    beside: list[Any] = [pool, Worker("w", sound)]
    for children, passes in ((alone, False), (beside, True)):
        tree = Supervisor("root", children=children, intensity=9)
        for told in (check_policy_in(tree, "t", 1), chaos_in(tree, "t", {"steps": "3"}, str)):
            assert (told["survived"], told["pools"]) == (passes, ["pool"])


@pytest.mark.parametrize(
    ("restarts", "told"),
    [(["temporary"], None), (["temporary", "transient"], 1.667), (["permanent"], 1.667)],
)
def test_where_nothing_is_restarted_no_crash_goes_unnoticed(restarts: Any, told: Any) -> None:
    workers = [Worker(f"w{n}", sound, restart=restart) for n, restart in enumerate(restarts)]
    tree = Supervisor("root", children=workers, intensity=3, period=5)
    assert check_policy_in(tree, "t", 1)["supervisors"][0]["slowest_s"] == told


def test_what_is_unnoticed_does_not_make_the_tree_give_up_and_a_little_less_does() -> None:
    for intensity, period in ((1, 5), (3, 5), (5, 10), (7, 3)):
        tree = Supervisor("root", children=[Worker("w", sound)], intensity=intensity, period=period)
        slowest_s = check_policy_in(tree, "t", 1)["supervisors"][0]["slowest_s"]
        for gap_s, runs in ((slowest_s, True), (slowest_s - 0.001, False)):
            node = Node(tree, clock=ManualClock()).start()
            for _ in range(3 * intensity):
                if node.running:
                    node.kill("w")
                    node.run(gap_s)
            assert node.running is runs, (intensity, period, gap_s)
