"""A tree that answers from a script: what the commands ask is kept, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ssm_cli.codec.port import Constructor
from ssm_cli.errors import NoProc, SsmError, SupervisorError
from ssm_cli.runtime.views import (
    ChildInfo,
    ChildName,
    ChildSpecView,
    Counts,
    CrashReport,
    NodeView,
    ProcessRef,
    Report,
    Statistics,
    Status,
)
from ssm_cli.spec.model import ChildSpec, Labelled
from ssm_cli.supervision.planning import Applied, PlanStep, TreePlan


class Result(msgspec.Struct, frozen=True):
    value: int | None


def supervisor_view(*children: NodeView, state: Any = "running") -> NodeView:
    return NodeView(
        "root",
        "root",
        "supervisor",
        state,
        strategy="one_for_one",
        intensity=3,
        period=5.0,
        budget_left=2,
        children=children,
    )


def worker_view(name: str, state: Any = "running") -> NodeView:
    return NodeView(name, f"root/{name}", "worker", state, restarts=1, uptime_s=2.5)


class FakeNode:
    """Answers every call with `answer`, or raises it; keeps what it was asked in `asked`."""

    name = "fake"

    def __init__(self, answer: object = b"Ok", view: NodeView | None = None) -> None:
        self.answer = answer
        self.view = view or supervisor_view(worker_view("kv1"), worker_view("kv2"))
        self.asked: list[tuple[object, ...]] = []
        self.state: object = {"x": 1}
        self.kept: list[Report] = []
        self.restart_type = "permanent"

    def _ask(self, *what: object) -> Any:
        self.asked.append(what)
        if isinstance(self.answer, SsmError):
            raise self.answer
        return self.answer

    def far(self, name: str) -> tuple[str, str] | None:
        child, dot, worker = name.partition(".")
        return (child, worker) if dot and child == "billing" else None

    def perform(self, effect: str, *args: Any, **given: Any) -> Any:
        return getattr(self, effect)(*args, **given)

    def answered(self) -> int:
        return 0

    def call(self, worker: str, message: Any, timeout_s: float | None = 5.0) -> Any:
        return self._ask("call", worker, message, timeout_s)

    async def acall(self, worker: str, message: Any, timeout_s: float | None = 5.0) -> Any:
        return self._ask("acall", worker, message, timeout_s)

    def cast(self, worker: str, message: Any) -> None:
        self._ask("cast", worker, message)

    def publish(self, group: str, message: Any) -> Any:
        return self._ask("publish", group, message)

    def groups(self) -> Sequence[Any]:
        return []

    def members(self, group: str) -> Sequence[Any]:
        del group
        return []

    def member_values(self, group: str) -> Sequence[Any]:
        del group
        return []

    def lookup(self, group: str) -> dict[str, Any]:
        del group
        return {}

    def get_members(self, group: str) -> list[str]:
        del group
        return []

    def joined(self, worker: str) -> list[str]:
        del worker
        return []

    def encode(self, worker: str, value: Any) -> bytes:
        del worker
        return str(value).encode()

    def shown(self, worker: str, value: Any) -> str:
        return self.encode(worker, value).decode()

    def constructors(self, worker: str) -> tuple[Constructor, ...]:
        self._known(worker)
        return ()

    def names(self, kind: str | None = None) -> Sequence[str]:
        workers = ["kv1", "kv2"]
        return workers if kind == "worker" else ["root", *workers]

    def tree(self) -> NodeView:
        return self.view

    def reports(self, after: int = 0, last: int | None = None) -> Sequence[Report]:
        kept = [report for report in self.kept if report.seq > after]
        return kept if last is None else kept[len(kept) - last :]

    def which_children(self, supervisor: str) -> list[ChildInfo]:
        self._ask("which_children", supervisor)
        return [ChildInfo("kv2", "running", "worker"), ChildInfo("kv1", "undefined", "worker")]

    def count_children(self, supervisor: str) -> Counts:
        self._ask("count_children", supervisor)
        return Counts(2, 1, 0, 2)

    def get_childspec(self, supervisor: str, child: str) -> ChildSpecView:
        if child == "gone":
            raise SupervisorError("root has no child `gone`", term="not_found")
        del supervisor
        return ChildSpecView(child, "worker", self.restart_type, 5000, significant=False)

    def start_child(
        self, supervisor: str, spec: ChildSpec | Labelled | str, args: Any = None
    ) -> str | None:
        del args
        self._ask("start_child", supervisor, spec)
        return "child1"

    def plan(self, tree: Any = None, *, specs_only: bool = False) -> TreePlan:
        self._ask("plan", tree, specs_only)
        return TreePlan("0a", (PlanStep("start", "kv3", "root/kv3", "root", "new"),), 2)

    def apply(
        self, tree: Any = None, *, plan: TreePlan | str = "", specs_only: bool = False
    ) -> Applied:
        self._ask("apply", tree, plan, specs_only)
        return Applied("0a", (PlanStep("start", "kv3", "root/kv3", "root", "new"),))

    def whereis(self, name: str) -> ProcessRef | None:
        return ProcessRef(name, 1)

    def terminate_child(self, supervisor: str, child: ChildName) -> None:
        self._ask("terminate_child", supervisor, child)

    def restart_child(self, supervisor: str, child: str) -> str | None:
        self._ask("restart_child", supervisor, child)
        return None

    def delete_child(self, supervisor: str, child: str) -> None:
        self._ask("delete_child", supervisor, child)

    def _known(self, worker: str) -> None:
        if worker not in self.names("worker"):
            raise NoProc(f"no worker `{worker}`", worker=worker, reason="noproc")

    def get_state(self, worker: str) -> Any:
        self._known(worker)
        return self.state

    def replace_state(self, worker: str, state: Any) -> Any:
        self._ask("replace_state", worker, state)
        self.state = state
        return state

    def suspend(self, name: str) -> None:
        self._ask("suspend", name)

    def resume(self, name: str) -> None:
        self._ask("resume", name)

    def trace(self, worker: str, on: bool = True) -> None:
        self._ask("trace", worker, on)

    def statistics(self, worker: str) -> Statistics:
        return Statistics(worker, 3, 2, 1, 1.5, 0)

    def get_status(self, worker: str) -> Status:
        return Status(worker, f"root/{worker}", "running", "root", self.state)

    def keep(self, worker: str, events: int) -> None:
        self._ask("keep", worker, events)

    def change_code(self, worker: str, old_version: str, extra: object = None) -> None:
        self._ask("change_code", worker, old_version, extra)

    def stop_process(
        self, name: str, reason: object = "normal", timeout_s: float | None = None
    ) -> None:
        self._ask("stop_process", name, reason, timeout_s)

    def crash_reports(
        self, worker: str | None = None, last: int | None = None
    ) -> Sequence[CrashReport]:
        self._ask("crash_reports", worker, last)
        return []

    def kill(self, name: str) -> None:
        self._ask("kill", name)

    def stop(self, reason: object = "shutdown", *, keep_remote: bool = False) -> None:
        self._ask("stop", reason)


class TypedFakeNode(FakeNode):
    """Also hands over output objects, as the node of this process does."""

    def call_value(
        self, worker: str, message: bytes, timeout_s: float | None
    ) -> tuple[bytes, object]:
        self._ask("call_value", worker, message, timeout_s)
        return b"Result 1", Result(1)

    async def acall_value(
        self,
        worker: str,
        message: bytes,
        timeout_s: float | None,
        answered: Callable[[tuple[bytes, object] | SsmError], None] | None = None,
    ) -> tuple[bytes, object]:
        answer = self.call_value(worker, message, timeout_s)
        if answered is not None:
            answered(answer)
        return answer
