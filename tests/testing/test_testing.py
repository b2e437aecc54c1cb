"""`ssm_cli.testing`: what a project tests its own tree with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

import ssm_cli.testing
from ssm_cli import StateMachine, Supervisor, Worker
from ssm_cli.errors import CommandError, TreeFileError
from ssm_cli.machines.kv import kv_store
from ssm_cli.testing import Timed, chaos, check_policy, fuzz, replay, start_tree, timed
from ssm_cli.testing.fixtures import Starting
from tests.architecture.source import ROOT

KV = ROOT / "trees" / "kv.yaml"

assert start_tree is not None, "the fixture is used by its name"


def test_a_tree_of_a_file_is_started_and_hours_pass_in_no_time(start_tree: Starting) -> None:
    tree = start_tree(ROOT / "trees" / "zoo.yaml")
    assert tree.node.running
    tree.advance(1.0)
    assert tree.clock.now_s() == 1.0


def test_a_tree_behind_a_test_is_stopped() -> None:
    with timed(KV) as tree:
        assert isinstance(tree, Timed)
        assert tree.node.call("kv1", b"Store x 1") == b"Ok"
    assert not tree.node.running


def test_limits_that_survive_and_limits_that_do_not() -> None:
    check_policy(KV, faults=3).assert_survives()
    weak = check_policy(Supervisor("root", children=[Worker("w", kv_store)], intensity=0))
    assert not weak.survived
    with pytest.raises(AssertionError, match=r"a way down was found:\n.*'fault': 'crash'"):
        weak.assert_survives()


def test_chaos_is_the_same_for_a_seed_and_takes_weights_by_their_names() -> None:
    tree = Supervisor("root", children=[Worker("w", kv_store)], intensity=100)
    first, again = (chaos(tree, seed=3, steps=50, fail_init="10%") for _ in range(2))
    assert first == again
    assert set(first.told["faults"]) == {"fail-init"}
    with pytest.raises(CommandError, match="no worker matches"):
        chaos(tree, kill="nobody=5%")


def test_a_worker_is_fuzzed_from_the_state_that_a_test_has_brought_it_to() -> None:
    with timed(KV) as tree:
        tree.node.call("kv1", b"Store x 1")
        found = fuzz(tree.node, "kv1")
        assert not found.survived
        with pytest.raises(AssertionError, match="def test_kv1_zero_division_error"):
            found.assert_survives()


@pytest.mark.parametrize("rule", ["state.fre >= 0", "state.free > 5 or state.fre < 9"])
def test_a_worker_does_not_survive_a_rule_of_which_a_part_was_never_known(rule: str) -> None:
    machine = StateMachine(
        step=lambda _, state: (state, None), init=lambda *_: {"free": 1}, inputs=Literal["add"]
    )
    tree = Supervisor("root", children=[Worker("w", machine)])
    with timed(tree) as running:
        assert fuzz(running.node, "w", steps=50).survived
        found = fuzz(running.node, "w", steps=50, invariant=rule)
        assert not found.survived
        with pytest.raises(AssertionError, match=r"never known:\n.*`state` has no \.fre"):
            found.assert_survives()


def test_what_a_test_has_done_is_stepped_again_on_the_same_code() -> None:
    with timed(KV) as tree:
        tree.node.call("kv1", b"Store x 1")
        assert replay(tree.node).survived


def test_a_file_that_is_no_tree_is_refused_with_its_complaints(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("supervisor: root\nstrategy: x\n")
    for ask in (check_policy, chaos):
        with pytest.raises(TreeFileError, match="strategy"):
            ask(bad)


def test_ssm_and_its_testing_do_not_need_pytest() -> None:
    code = "import sys, ssm_cli, ssm_cli.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    with pytest.raises(AttributeError):
        ssm_cli.testing.nothing  # noqa: B018 - it is looked up
