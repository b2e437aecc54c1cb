from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from ssm_cli import (
    Backoff,
    Cast,
    FakeLinks,
    Node,
    Ok,
    Remote,
    StateMachine,
    Strategy,
    Supervisor,
    Worker,
)
from ssm_cli.errors import CommandError
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.simulation.asking import chaos_in, with_futures
from ssm_cli.simulation.load import Load
from tests.architecture.source import ROOT
from tests.simulation.weaknesses import STARTED, Add, sound, sound_workers, weak_trees, zero


def ran(tree: Any, **given: Any) -> dict[str, Any]:
    STARTED.clear()
    words: dict[str, str | None] = {name: str(word) for name, word in given.items()}
    return chaos_in(tree, "tree", words, str)


@pytest.mark.parametrize("weakness", weak_trees())
def test_a_planted_weakness_is_found_and_shrunk_to_at_most_five_faults(weakness: str) -> None:
    told = ran(weak_trees()[weakness], seed=5, steps=600)
    assert not told["survived"]
    assert told["timeline"], told["said"]
    assert len(told["timeline"]) <= 5


def test_a_tree_with_room_survives_the_same() -> None:
    tree = Supervisor("root", children=sound_workers(), intensity=20, period=5)
    told = ran(tree, seed=5, steps=600)
    assert told["survived"]
    assert (told["taken"], told["stopped"], told["timeline"]) == (600, "", [])
    assert told["inputs"] + sum(told["faults"].values()) == 600


def test_the_same_seed_does_the_same_and_another_one_does_not() -> None:
    tree = Supervisor("root", children=sound_workers(), intensity=20)
    first, again, other = (ran(tree, seed=seed, steps=200) for seed in (1, 1, 2))
    assert first == again
    assert first["digest"] != other["digest"]


def test_two_processes_get_the_same_from_a_seed_whatever_their_hashes_are() -> None:
    code = (
        "from ssm_cli import load_tree; from ssm_cli.simulation.asking import chaos_in;"
        "print(chaos_in(load_tree('trees/kv.yaml'), 'kv', {'seed': '9', 'steps': '150'}, str))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert said[0] == said[1] != ""


def test_each_kind_of_fault_does_what_it_says() -> None:
    tree = Supervisor("root", children=[Worker("w", sound)], intensity=1000, period=1)
    ends = {"crash", "kill", "hang", "fail-init", "slow-init"}
    for kind in ("crash", "kill", "hang", "slow", "fail-init", "slow-init", "late", "jump"):
        told = ran(tree, seed=1, steps=20, **{kind: "100%"})
        assert told["faults"] == {kind: 20}
        assert bool(told["supervisors"][0]["restarts"]) == (kind in ends)


def test_a_queue_that_is_filled_refuses_one_cast_more() -> None:
    told = ran(Supervisor("root", children=sound_workers(1)), steps=3, **{"fill-queue": "100%"})
    assert (told["refused"], told["survived"]) == (3, True)


def test_who_was_away_for_how_long_is_told_in_virtual_time() -> None:
    tree = Supervisor("root", children=[Worker("w", sound, init_timeout=2500)], intensity=99)
    told = ran(tree, seed=1, steps=1, **{"slow-init": "100%"})
    assert told["away"]["seconds"] in (2.5, 5.0)


def test_a_call_that_a_fault_takes_away_counts_as_failed_and_a_reply_does_not() -> None:
    tree = Supervisor("root", children=[Worker("w", sound)], intensity=1000)
    told = ran(tree, seed=3, steps=100, crash="20%")
    assert told["failed"] == {}
    assert told["calls"] == told["inputs"]


def test_only_those_that_match_a_pattern_are_hit() -> None:
    tree = Supervisor("root", Strategy.ONE_FOR_ONE, sound_workers(), intensity=1000)
    told = ran(tree, seed=3, steps=50, kill="sound1=100%")
    assert told["away"]["worker"] == "sound1"


def drifting(message: Any, state: int) -> tuple[int, float]:
    return state + 1, random.random()


def changing(message: Any, state: list[int]) -> tuple[list[int], int]:
    state.append(message.amount)
    return state, len(state)


def empty(_name: str, _args: Mapping[str, Any]) -> list[int]:
    return []


@pytest.mark.parametrize(
    ("machine", "how"),
    [
        (StateMachine(step=drifting, init=zero, inputs=Add), "another output the second time"),
        (StateMachine(step=changing, init=empty, inputs=Add), "in place"),
    ],
)
def test_a_worker_that_is_not_pure_is_named_and_can_be_left_out(machine: Any, how: str) -> None:
    tree = Supervisor("root", children=[*sound_workers(), Worker("impure", machine)], intensity=99)
    with pytest.raises(CommandError, match=f"impure is not pure: .*{how}.*--skip impure"):
        ran(tree, steps=100)
    told = ran(tree, steps=100, skip="impure")
    assert told["survived"]


def stuck(message: Any, state: int) -> tuple[int, None]:
    while True:
        state += 1


def test_a_step_that_really_hangs_is_cut_and_does_not_hold_the_run() -> None:
    worker = Worker("stuck", StateMachine(step=stuck, init=zero, inputs=Add), step_timeout=20)
    told = ran(Supervisor("root", children=[worker], intensity=99), steps=2)
    assert told["failed"] == {"crashed": 2}
    assert told["cut"] == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": "x"}, "--seed takes a whole number from 0 to"),
        ({"seed": "-1"}, "--seed takes"),
        ({"seed": "1.5"}, "--seed takes"),
        ({"steps": "0"}, "--steps takes a whole number from 1 to 1,000,000, not `0`"),
        ({"span": "soon"}, "`soon` is no span of time"),
        ({"span": "0s"}, "--for takes more than 0 s"),
        ({"span": "nan"}, "--for takes more than 0 s"),
        ({"kill": "0%"}, "`--kill 0%`: expected more than 0 % and at most 100 %"),
        ({"kill": "101%"}, "at most 100 %"),
        ({"kill": "60%", "crash": "60%"}, "the weights are 120% together"),
        ({"kill": "nobody*=5%"}, "--kill: no worker matches `nobody*`"),
        ({"kill": "5"}, "`--kill 5` is no weight; expected --kill PATTERN=5%"),
        ({"kill": ""}, "is no weight"),
        ({"kill": "sound*=1.2.3%"}, "is no weight"),
        ({"late": "sound*=5%"}, "--late happens to the whole tree"),
        ({"skip": "nobody"}, "--skip: there is no worker `nobody`"),
        ({"skip": "root"}, "--skip: there is no worker `root`; `tree` shows them"),
    ],
)
def test_what_is_no_run_is_refused_with_what_was_expected(given: dict[str, str], said: str) -> None:
    tree = Supervisor("root", children=sound_workers())
    with pytest.raises(CommandError) as refused:
        chaos_in(tree, "tree", dict(given), str)
    assert said in str(refused.value)


# -- on a tree that runs -----------------------------------------------------------------------


def live() -> Node:
    tree = Supervisor("root", children=[Worker("kv1", kv_store)], intensity=1)
    node = Node(tree, clock=ManualClock(), history=100).start()
    node.call("kv1", b"Store x 1")
    return with_futures(node, str)


def test_a_live_tree_is_left_as_it_is_whatever_happens_to_its_fork() -> None:
    node = live()
    before, seq = node.digest(), node.last_seq
    told = node.perform("chaos", crash="100%", steps="10", seed="1")
    assert not told["survived"]
    assert (node.digest(), node.last_seq, node.running) == (before, seq, True)
    node.stop()


def test_the_command_that_is_told_does_the_same_though_the_tree_has_gone_on() -> None:
    node = live()
    told = node.perform("chaos", steps="50", seed="1")
    assert told["replay"] == "chaos --seed 1 --steps 50 --for 180s --at 1"
    node.call("kv1", b"Store y 2")
    again = node.perform("chaos", steps="50", seed="1", span="180s", at="1")
    assert again["digest"] == told["digest"]
    node.stop()


def test_the_load_is_made_of_what_the_tree_remembers() -> None:
    node = live()
    recorder = node.recorder()
    assert recorder is not None
    made = Load(recorder.world, recorder).input(random.Random(1), "kv1")
    assert made is not None
    assert made[1] == b"Store x 1" or repr(made[1]) == "Store(key='x', value=1)"
    node.stop()


def test_a_page_of_a_run_has_its_records_and_what_supervisors_did() -> None:
    node = live()
    found = node.perform("chaos", steps="30", seed="1", page="yes")["page"]
    assert {record["worker"] for record in found["records"]} == {"kv1"}
    assert {"restarting", "started"} <= {report["event"] for report in found["reports"]}
    node.stop()


def test_what_takes_the_root_down_is_a_timeline_of_faults_and_decisions() -> None:
    told = ran(Supervisor("root", children=[Worker("w", sound)], intensity=0), crash="100%")
    first = told["timeline"][0]
    assert (first["fault"], first["worker"]) == ("crash", "w")
    assert first["then"][-1]["event"] == "gave_up"


# -- what is not all here ----------------------------------------------------------------------


def spread() -> Any:
    far = Remote("far", "elsewhere.yaml")
    return Supervisor("root", "one_for_all", [*sound_workers(2), far], intensity=50)


def test_a_remote_child_of_a_file_is_a_stand_in_that_can_crash() -> None:
    told = ran(spread(), steps=30, crash="far=100%")
    assert told["faults"] == {"crash": 30}
    assert told["away"]["seconds"] == 0.0


def test_a_remote_child_of_a_live_tree_does_not_hold_its_fork() -> None:
    clock = ManualClock()
    node = Node(spread(), clock=clock, links=FakeLinks(clock, {})).start()
    with_futures(node, str)
    told = node.perform("chaos", steps="30", crash="10%")
    assert told["supervisors"][0]["restarts"] == told["faults"]["crash"]
    matrix = node.perform("check_policy", faults="1")["matrix"]
    assert matrix["far"] == ["sound0", "sound1"]
    node.stop()


def test_children_of_a_pool_are_hit_by_the_names_that_they_have() -> None:
    pool = Supervisor("pool", Strategy.SIMPLE_ONE_FOR_ONE, [Worker("one", sound)], intensity=99)
    node = Node(Supervisor("root", children=[pool]), clock=ManualClock()).start()
    node.start_child("pool", "nemo")
    with_futures(node, str)
    told = node.perform("chaos", steps="10", kill="*nemo=100%")
    assert told["faults"] == {"kill": 10}
    node.stop()


def test_workers_that_store_begin_by_their_init_in_a_tree_of_a_file() -> None:
    worker = Worker("w", sound, persist="journal", on_crash="saved")
    told = ran(Supervisor("root", children=[worker], intensity=99), steps=20)
    assert told["survived"]


def flooding(message: Any, state: int) -> tuple[int, None, list[Cast]]:
    return state + 1, None, [Cast(None, message)]


def first_of_many(name: str, _args: Mapping[str, Any]) -> Ok[int]:
    return Ok(0, effects=[Cast(name, Add(1))])


def passing_on(message: Any, state: str) -> tuple[str, None, list[Cast]]:
    return state, None, [Cast(state, message)]


def other_of(name: str, _args: Mapping[str, Any]) -> Ok[str]:
    other = {"one": "two", "two": "one"}[name]
    return Ok(other, effects=[Cast(other, Add(1))] if name == "one" else [])


FLOODS = {
    "itself": [Worker("w", StateMachine(step=flooding, init=first_of_many, inputs=Add))],
    "each other": [
        Worker(name, StateMachine(step=passing_on, init=other_of, inputs=Add))
        for name in ("one", "two")
    ],
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_workers_that_send_without_end_are_left_at_it_and_named(flood: Any) -> None:
    away = Worker("v", sound, backoff=Backoff(initial_ms=1000))
    tree = Supervisor("root", children=[*flood, away], intensity=1000)
    told = ran(tree, seed=1, steps=4, crash="v=60%")
    assert (told["taken"], told["survived"], told["stopped"]) == (4, True, "")
    assert {one.id for one in flood} >= set(told["flooding"])
    assert sum(told["flooding"].values()) >= 3
    assert told["away"]["worker"] == "v", "the faults happen"
    assert 0 < told["away"]["seconds"] < told["passed_s"], "time passes, and back-offs end"


def test_how_much_of_what_has_no_end_is_served_is_the_same_for_a_seed() -> None:
    tree = Supervisor("root", children=FLOODS["itself"])
    assert ran(tree, steps=1)["digest"] == ran(tree, steps=1)["digest"]


def test_a_tree_that_comes_to_rest_is_named_by_nobody() -> None:
    assert ran(Supervisor("root", children=sound_workers()), steps=20)["flooding"] == {}
