"""Every file in trees/ works: trees are validated, started, broken and stopped; scripts are run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssm_cli import (
    CalleeCrashed,
    ManualClock,
    MemoryStore,
    Node,
    NodeView,
    Supervisor,
    load_tree,
)
from ssm_cli.machines import bank, counter, kv, ticker
from ssm_cli.runtime.views import Report
from ssm_cli.spec.model import Restart, SupervisorSpec, WorkerSpec, walk
from trees import jobs, market

FOLDER = Path(__file__).parents[2] / "trees"
OTHERS = {
    "ledger.py": "the worker of bank.yaml",
    "device.py": "the worker of gateway.yaml: tests/trees/test_gateway.py",
    "market.py": "the workers of market.yaml: tests/trees/test_market.py",
    "jobs.py": "the worker of jobs.yaml: tests/trees/test_jobs.py",
    "shop.py": "a program of its own: tests/trees/test_shop.py",
    "field.py": "what gateway.yaml talks to: tests/trees/test_gateway.py",
    "bank.ssm": "a script: tests/trees/test_bank_script.py runs it",
    "kv.ssm": "a script: tests/trees/test_kv_script.py runs it",
    "tree.schema.json": "what `ssm schema` prints: tests/spec/test_tree_schema.py compares them",
}
TREES = sorted(
    path
    for path in FOLDER.iterdir()
    if path.suffix in {".yaml", ".yml", ".py"} and path.name not in OTHERS
)


def workers_of(path: Path) -> list[str]:
    """The workers that run once the tree has started: templates do not."""
    tree = load_tree(path)
    templates = {
        child.id
        for _, spec in walk(tree)
        if isinstance(spec, SupervisorSpec) and spec.strategy.value == "simple_one_for_one"
        for child in spec.children
    }
    names = [spec.id for _, spec in walk(tree) if isinstance(spec, WorkerSpec)]
    return [name for name in names if name not in templates]


def spec_of(path: Path, worker: str) -> WorkerSpec:
    (spec,) = (spec for _, spec in walk(load_tree(path)) if spec.id == worker)
    assert isinstance(spec, WorkerSpec)
    return spec


LEDGER_CRASH = b"Free acc99"  # ledger.py is loaded anew each time: no key of a table
CRASHES: dict[Any, Any] = {
    kv.kv_store: kv.Lookup("crash"),
    bank.Bank: bank.Withdraw(1_000_000),
    ticker.ticker: ticker.Start(0),
}
"""An input that crashes each kind of worker; the others have none, and are killed instead."""

NEVER_CRASH = {counter.counter, market.book, market.listener, jobs.jobs}


def states(view: NodeView) -> set[str]:
    return {view.state, *(state for child in view.children for state in states(child))}


def started(reports: list[Report], event: str = "started") -> list[str]:
    return [report.id for report in reports if report.event == event and report.kind == "worker"]


EVERY_WORKER = [(path, worker) for path in TREES for worker in workers_of(path)]
BY_NAME = [f"{path.name}:{worker}" for path, worker in EVERY_WORKER]


def test_every_file_in_the_folder_is_known_to_a_test() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert files == {path.name for path in TREES} | set(OTHERS)


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.name)
def test_a_tree_starts_in_order_and_stops_in_reverse(path: Path) -> None:
    node = Node(load_tree(path), clock=ManualClock(), store=MemoryStore())
    with node:
        assert states(node.tree()) == {"running"}
    reports = list(node.reports())
    assert started(reports) == workers_of(path)
    assert started(reports, "terminated") == workers_of(path)[::-1]
    assert reports[-1].event == "stopped"
    assert not node.running


@pytest.mark.parametrize(("path", "worker"), EVERY_WORKER, ids=BY_NAME)
def test_a_worker_that_crashes_is_started_again_and_so_the_tree_heals(
    path: Path, worker: str
) -> None:
    spec = spec_of(path, worker)
    with Node(load_tree(path), clock=ManualClock(), store=MemoryStore()) as node:
        before = node.reports()[-1].seq
        if spec.start in NEVER_CRASH:
            node.kill(worker)
        else:
            with pytest.raises(CalleeCrashed):
                node.call(worker, CRASHES.get(spec.start, LEDGER_CRASH))
        node.run(for_s=1.0)  # back-offs pass on the manual clock
        assert spec.restart in {Restart.PERMANENT, Restart.TRANSIENT}
        assert worker in started(list(node.reports(after=before)))
        assert states(node.tree()) == {"running"}
        assert not node.gave_up


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.name)
def test_the_templates_of_a_tree_make_children_that_can_be_broken(path: Path) -> None:
    with Node(load_tree(path), clock=ManualClock(), store=MemoryStore()) as node:
        for _, spec in walk(load_tree(path)):
            if isinstance(spec, SupervisorSpec) and spec.strategy.value == "simple_one_for_one":
                assert node.start_child(spec.id, "first") == "first"
                node.kill("first")
                node.run()
                (template,) = spec.children
                temporary = template.restart is Restart.TEMPORARY
                assert node.exists("first") is not temporary
        assert states(node.tree()) == {"running"}


def test_the_python_tree_is_the_yaml_tree() -> None:
    assert load_tree(FOLDER / "kv.py") == load_tree(FOLDER / "kv.yaml")


def test_a_tree_that_keeps_breaking_gives_up() -> None:
    tree = load_tree(FOLDER / "kv.yaml")
    assert tree == Supervisor(tree.id, tree.strategy, tree.children, intensity=3, period=5)
    node = Node(tree, clock=ManualClock(), store=MemoryStore())
    with node:
        for _ in range(tree.intensity + 1):
            with pytest.raises(CalleeCrashed):
                node.call("kv1", b"Lookup crash")
        node.run()
        assert node.gave_up
    assert started(list(node.reports()), "started").count("kv1") == tree.intensity + 1
