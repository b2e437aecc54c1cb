"""What tests may ask of a tree, and what is no survival."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssm_cli import Strategy, Supervisor, Worker
from ssm_cli.errors import CommandError
from ssm_cli.machines.kv import kv_store
from ssm_cli.simulation import asking
from ssm_cli.testing import Tried, chaos, check_policy, fuzz, timed

TREE = Supervisor("root", children=[Worker("w", kv_store)], intensity=100)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"crsh": "50%"}, "`crsh` is no fault; expected one of crash, kill, .*fail_init"),
        ({"crash": 0}, "crash takes a share of the steps, above 0 and at most 1"),
        ({"crash": 5}, "crash takes a share"),
        ({"crash": True}, "crash takes a share"),
        ({"crash": None}, "crash takes a share"),
        ({"crash": float("nan")}, "crash takes a share"),
    ],
)
def test_a_weight_that_is_none_is_refused_with_what_was_expected(
    weights: dict[str, Any], said: str
) -> None:
    with pytest.raises(CommandError, match=said):
        chaos(TREE, **weights)


def test_a_share_is_a_number_or_a_text() -> None:
    assert chaos(TREE, steps=50, crash=0.5).told == chaos(TREE, steps=50, crash="50%").told


def test_what_a_bound_has_stopped_has_not_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FILE_S", -1.0)
    monkeypatch.setattr(asking, "LIVE_S", -1.0)
    with timed(TREE) as tree:
        for tried in (chaos(TREE), fuzz(tree.node, "w"), chaos(tree.node), check_policy(tree.node)):
            assert (tried.survived, tried.told["stopped"]) == (False, "-1 s")
            with pytest.raises(AssertionError, match="stopped after -1 s, before all was tried"):
                tried.assert_survives()


def test_a_node_is_taken_as_it_stands_and_another_thing_is_refused() -> None:
    with timed(TREE) as tree:
        check_policy(tree.node).assert_survives()
        chaos(tree.node, steps=5).assert_survives()
        for ask in (check_policy, chaos):
            with pytest.raises(CommandError, match="path of a tree file, not a Timed"):
                ask(tree)  # type: ignore[arg-type]  # which is the mistake


def test_a_tree_without_workers_has_not_survived() -> None:
    for tried in (check_policy(Supervisor("root")), chaos(Supervisor("root"), steps=5)):
        assert isinstance(tried, Tried)
        assert not tried.survived
        with pytest.raises(AssertionError, match="nothing was tried"):
            tried.assert_survives()


def test_a_tree_with_an_empty_pool_alone_names_it_whatever_is_asked_of_it() -> None:
    template = Worker("till", kv_store)
    pool = Supervisor("tills", Strategy.SIMPLE_ONE_FOR_ONE, children=[template])
    tree = Supervisor("root", children=[pool])
    for tried in (check_policy(tree), chaos(tree, steps=5), chaos(tree, steps=5, crash="2%")):
        assert not tried.survived
        with pytest.raises(AssertionError) as failed:
            tried.assert_survives()
        assert str(failed.value).splitlines() == [
            "nothing was tried, as there is no worker to put a fault into:",
            "not tried: tills, a pool without children; ask a tree that runs and has some",
        ]
    with timed(tree) as live:
        live.node.start_child("tills", "east")
        check_policy(live.node, faults=1).assert_survives()


def test_the_same_again_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    file = tmp_path / "my tree.yaml"
    file.write_text(
        "supervisor: root\nchildren:\n- {worker: w, start: 'ssm_cli.machines.kv:kv_store'}\n"
    )
    again = chaos(file, steps=3, kill=1e-7).told["replay"]
    assert again == f"ssm chaos '{file}' --seed 1 --steps 3 --for 10.8s --kill 0.00001%"
    assert check_policy(file).told["replay"] == f"ssm check-policy '{file}' --faults 2"
