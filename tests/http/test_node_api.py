"""One contract, two distances: a node of this process and one reached over HTTP answer alike."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import (
    CalleeCrashed,
    CallTimeout,
    DecodeError,
    NoProc,
    SpecError,
    SsmError,
    SupervisorError,
    Worker,
)
from ssm_cli.http.client.find import find
from ssm_cli.http.client.node import HttpNode
from ssm_cli.machines.kv import Lookup, kv_store
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.node import Node
from ssm_cli.spec.load import load_tree
from tests.http.serving import DEADLINE_S, ROOT
from tests.program import command


def far() -> Iterator[NodeApi]:
    words = ["run", "trees/kv.yaml", "--headless", "--quiet"]
    process = subprocess.Popen([*command(), *words], cwd=ROOT)
    path = Path(os.environ["XDG_RUNTIME_DIR"]) / "ssm" / "kv.sock"
    end_s = time.monotonic() + DEADLINE_S
    while not path.exists() and time.monotonic() < end_s:
        assert process.poll() is None
        time.sleep(0.005)
    node = find(os.environ)
    yield node
    node.connection.close()
    process.terminate()
    process.wait(DEADLINE_S)


def near() -> Iterator[NodeApi]:
    with Node(load_tree(ROOT / "trees/kv.yaml"), name="kv") as node:
        yield node


@pytest.fixture(params=[near, far], ids=["near", "far"])
def node(request: pytest.FixtureRequest) -> Iterator[NodeApi]:
    make: Callable[[], Iterator[NodeApi]] = request.param
    yield from make()


def test_calls_end_in_the_same_outcomes(node: NodeApi) -> None:
    assert node.call("kv2", b"Store x 1") == b"Ok"
    assert asyncio.run(node.acall("root/storage/kv2", b"Lookup x")) == b"Result 1"
    node.cast("kv2", b"Store x 2")
    assert node.call("kv2", b"Lookup x") == b"Result 2"
    with pytest.raises(CalleeCrashed) as crashed:
        node.call("kv2", b"Lookup crash")
    assert type(crashed.value.error).__name__ == "ZeroDivisionError"
    assert (crashed.value.worker, crashed.value.reason) == ("kv2", "crash")
    with pytest.raises(DecodeError) as bad:
        node.call("kv2", b"Bad")
    assert bad.value.column == 1
    assert bad.value.expected
    with pytest.raises(NoProc, match="kv9"):
        node.call("kv9", b"Lookup x")
    with pytest.raises(NoProc, match="kv9"):
        asyncio.run(node.acall("kv9", b"Lookup x"))
    with pytest.raises(NoProc, match="kv9"):
        node.cast("kv9", b"Store x 2")


def test_a_typed_call_is_answered_typed_or_as_json(node: NodeApi) -> None:
    node.call("kv1", b"Store x 1")
    output = node.call("kv1", Lookup("x"))
    value = output["value"] if isinstance(node, HttpNode) else output.value
    assert value == 1


def test_groups_are_asked_alike(node: NodeApi) -> None:
    assert node.perform("groups") == node.perform("members", "nobody here") == []
    assert node.perform("publish", "nobody here", b"Store x 1").members == 0


def test_supervisors_answer_in_otps_terms(node: NodeApi) -> None:
    assert [child.id for child in node.which_children("storage")] == ["kv3", "kv2"]
    assert node.count_children("storage").workers == 2
    assert node.start_child("storage", Worker("kv4", kv_store)) == "kv4"
    assert node.get_childspec("storage", "kv4").restart == "permanent"
    refusals: list[tuple[Callable[[], object], str]] = [
        (lambda: node.start_child("storage", Worker("kv4", kv_store)), "already_started"),
        (lambda: node.restart_child("storage", "kv4"), "running"),
        (lambda: node.delete_child("storage", "kv4"), "running"),
        (lambda: node.terminate_child("storage", "kv9"), "not_found"),
    ]
    for refused, term in refusals:
        with pytest.raises(SupervisorError) as caught:
            refused()
        assert caught.value.term == term
    node.terminate_child("storage", "kv4")
    assert node.whereis("kv4") is None
    assert node.restart_child("storage", "kv4") == "kv4"
    process = node.whereis("kv4")
    assert process is not None
    assert process.starts == 2
    with pytest.raises(NoProc):
        node.which_children("kv1")


def test_an_effect_is_carried_out_by_its_name(node: NodeApi) -> None:
    before = node.perform("statistics", "kv1").starts
    assert node.perform("restart", "kv1") == "kv1"
    assert node.perform("restart", "root/storage") == "storage"
    assert node.perform("statistics", "kv1").starts == before + 1
    assert node.perform("count_children", "storage").active == 2
    assert node.perform("start_child", "storage", Worker("kv4", kv_store)) == "kv4"
    assert node.perform("terminate_child", "storage", "kv4") is None
    assert (
        node.perform("change_code", "kv1", "1") is None if node.perform("suspend", "kv1") else True
    )
    with pytest.raises(SupervisorError, match="no supervisor") as refused:
        node.perform("restart", "root")
    assert refused.value.term == "root"
    with pytest.raises(NoProc, match="kv9"):
        node.perform("restart", "kv9")


def test_workers_are_looked_into_and_held(node: NodeApi) -> None:
    node.replace_state("kv1", {"x": 5})
    state = node.get_state("kv1")
    assert state == {"x": 5}
    assert node.encode("kv1", state) == b'{"x": 5}'
    node.keep("kv1", 4)
    node.trace("kv1")
    assert node.call("kv1", b"Lookup x") == b"Result 5"
    node.trace("kv1", on=False)
    assert len(node.get_status("kv1").log) == 2
    assert node.statistics("kv1").steps == 1
    assert [constructor.name for constructor in node.constructors("kv1")] == ["Store", "Lookup"]
    node.suspend("kv1")
    with pytest.raises(CallTimeout):
        node.call("kv1", b"Lookup x", timeout_s=0.01)
    node.resume("kv1")
    node.kill("kv1")
    assert node.statistics("kv1").starts == 2
    node.stop_process("kv1", "normal")
    with pytest.raises(CalleeCrashed):
        node.call("kv1", b"Lookup crash")
    (report,) = node.crash_reports("kv1", last=1)
    assert report.error_type == "ZeroDivisionError"
    with pytest.raises(SsmError):
        node.change_code("kv1", "1")


def test_the_tree_and_its_reports_look_the_same(node: NodeApi) -> None:
    assert node.name == "kv"
    assert list(node.names()) == ["root", "kv1", "storage", "kv2", "kv3"]
    assert list(node.names("supervisor")) == ["root", "storage"]
    tree = node.tree()
    assert [child.id for child in tree.children] == ["kv1", "storage"]
    assert (tree.strategy, tree.budget_left) == ("one_for_one", 3)
    reports = node.reports(after=2, last=3)
    assert [report.seq for report in reports] == [8, 9, 10]
    assert reports[-1].event == "started"
    node.stop()


def test_another_tree_is_applied_by_the_plan_that_was_agreed_to(
    node: NodeApi, tmp_path: Path
) -> None:
    file = tmp_path / "kv.yaml"
    tree = "supervisor: root\nintensity: 3\nchildren:\n"
    file.write_text(f"{tree}  - {{worker: kv1, start: 'ssm_cli.machines.kv:kv_store'}}\n")
    life, plan = node.whereis("kv1"), node.plan(file)
    assert (plan.todo[0].act, plan.todo[0].path) == ("stop", "root/storage")
    with pytest.raises(SupervisorError) as raised:
        node.apply(file, plan="0123456789ab")
    assert raised.value.term == "stale"
    assert node.apply(file, plan=plan).done == plan.todo
    assert (node.names("worker"), node.whereis("kv1")) == (["kv1"], life)
    assert node.apply(file, specs_only=True).done == ()
    file.write_text("supervisor: root\nintensity: -1\nchildren: []\n")
    with pytest.raises(SpecError, match="intensity"):
        node.apply(file)


def test_groups_are_asked_by_methods_alike(node: NodeApi) -> None:
    assert node.publish("g", b"Store x 1").members == 0
    assert (node.groups(), node.members("g"), node.get_members("g")) == ([], [], [])
    assert (node.lookup("g"), node.member_values("g")) == ({}, [])
    assert node.joined("kv2") == []


def test_a_ref_is_handed_out_by_a_name_that_there_is(node: Any) -> None:
    assert node.worker("kv2").call(b"Store x 1") == b"Ok"
    with pytest.raises(NoProc, match="nobody"):
        node.worker("nobody")
