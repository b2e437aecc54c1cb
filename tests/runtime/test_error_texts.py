"""Every error of `errors.py`, made by what raises it: who, what is wrong, what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, StateMachine, Supervisor, Worker, errors, load_tree
from ssm_cli.commands.parse import parse_line
from ssm_cli.http.client.find import find
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.runs.child import what_it_says
from ssm_cli.spec.model import Backoff
from ssm_cli.storage.folder import FolderStore

FAR = "made by a cluster alone: tests/cluster and tests/remote read their texts"
ELSEWHERE = {
    errors.ReadOnly: "tests/history/test_timeline.py, tests/http/test_past.py",
    errors.SsmError: "the root; never raised by itself",
    errors.CallError: "a class of others",
    errors.Busy: FAR,
    errors.NoConnection: FAR,
    errors.Fenced: FAR,
    errors.TakenOver: "tests/cluster/test_program.py",
    errors.Denied: "tests/http/test_gate.py",
    errors.CodeRefused: "tests/history/reload/test_reload.py",
    errors.StorageError: "tests/faults/test_no_room.py",
    errors.StorageDamaged: "tests/faults/test_damage.py",
    errors.Unrecovered: "tests/faults/test_evolution.py",
    errors.StepTimeout: "no SsmError: tests/runtime/test_guard.py",
}


def step(message: Any, state: Any) -> tuple[Any, Any]:
    if message == "boom":
        raise ZeroDivisionError("division by zero")
    return state, message


def no_disk(name: str, _args: object) -> None:
    raise OSError(f"no disk for {name}")


ECHO = StateMachine(step=step)


def node_of(*children: Any, **flags: Any) -> Node:
    return Node(Supervisor("root", children=children, **flags), clock=ManualClock())


def started(*children: Any, **flags: Any) -> Node:
    node = node_of(*children, **flags)
    node.start()
    return node


def ended() -> None:
    node = started(Worker("w", ECHO, restart="temporary"), Worker("v", ECHO))
    node.suspend("w")
    pending = node.send_request("w", "x")
    node.kill("w")
    node.wait(pending)


def gave_up() -> None:
    node = started(Worker("w", ECHO), intensity=0)
    with pytest.raises(errors.CalleeCrashed):
        node.call("w", "boom")
    node.call("w", "x")


def held_back() -> None:
    node = started(Worker("w", ECHO, backoff=Backoff(initial_ms=10_000)))
    with pytest.raises(errors.CalleeCrashed):
        node.call("w", "boom")
    node.call("w", "x")


def suspended() -> None:
    node = started(Worker("w", ECHO))
    node.suspend("w")
    node.call("w", "x", 0.0)


def full() -> None:
    node = started(Worker("w", ECHO), queue=1)
    node.suspend("w")
    for _ in range(3):
        node.cast_nowait("w", "x")


def from_step() -> None:
    nodes: list[Node] = []
    own = StateMachine(step=lambda message, state: (state, nodes[0].call("w", message)))
    nodes.append(started(Worker("w", own)))
    with pytest.raises(errors.CalleeCrashed) as caught:
        nodes[0].call("w", "x")
    raise caught.value.error or AssertionError from None


def in_use(folder: Path) -> None:
    with FolderStore(folder / "d", writing=True), FolderStore(folder / "d", writing=True):
        pass


def no_tree(folder: Path) -> None:
    find({"XDG_RUNTIME_DIR": str(folder)}, None, None, lambda _: None)


def tree_file(folder: Path) -> None:
    (folder / "t.yaml").write_text("supervisor: root\nintensity: -1\n")
    load_tree(folder / "t.yaml")


CASES: list[tuple[type[BaseException], Callable[[Path], object], str]] = [
    (errors.CalleeCrashed, lambda _: started(Worker("w", ECHO)).call("w", "boom"),
     r"^w crashed: ZeroDivisionError: division by zero$"),
    (errors.CalleeStopped, lambda _: ended(), r"^w ended: killed"),
    (errors.GaveUp, lambda _: gave_up(), r"the tree is not running: its root reached its restart"),
    (errors.NoProc, lambda _: node_of(Worker("w", ECHO)).call("w", "x"),
     r"^w: the tree is not running; start it by `with Node\(tree\)` or `start\(\)`$"),
    (errors.NoProc, lambda _: started(Worker("worker1", ECHO)).call("worker2", "x"),
     r"^no worker worker2; did you mean worker1\?$"),
    (errors.NoProc, lambda _: held_back(), r"^w is being restarted: its back-off is not over; "),
    (errors.CallTimeout, lambda _: suspended(), r"^w: the call timed out: no answer yet$"),
    (errors.DecodeError, lambda _: started(Worker("w", kv_store)).call("w", b"Look x"),
     r"^w: .*expected .*; did you mean Lookup|^w: .*Lookup"),
    (errors.QueueFull, lambda _: full(), r"^w: the queue is full: 1 inputs wait$"),
    (errors.SupervisorError, lambda _: started(Worker("w", ECHO)).delete_child("root", "w"),
     r"^root: w is running$"),
    (errors.SysError, lambda _: started(Worker("w", ECHO)).change_code("w", "1"),
     r"^w must be suspended to change its code$"),
    (errors.StartFailed, lambda _: started(Worker("w", StateMachine(step=step, init=no_disk))),
     r"^root did not start: .*child w: crash; OSError: no disk for w, at .*\.py:\d+ in no_disk: "),
    (errors.SpecError, lambda _: node_of(Worker("w", 7)),  # type: ignore[arg-type]  # that is what is wrong
     r"^root/w\.start: is 7; expected a StateMachine or a subclass of GenServer, Statem or Event$"),
    (errors.TreeFileError, tree_file,
     r"t\.yaml:2:12: root\.intensity: is -1; expected a whole number of at least 0$"),
    (errors.CommandError, lambda _: parse_line("cal w x", ("w",)),
     r"^`cal` is neither a command nor a worker; did you mean"),
    (errors.CalledFromStep, lambda _: from_step(),
     r"^w called its own node from a step; return an effect"),
    (errors.Forgotten, lambda _: started(Worker("w", ECHO)).at(1),
     r"^root remembers nothing: give its node a history"),
    (errors.StorageInUse, in_use, r"d.*process"),
    (errors.NoTree, no_tree, r"^no running tree found; start one with `ssm run TREE`, or "),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "cause", "said"), CASES, ids=[case[0].__name__ for case in CASES])
def test_an_error_says_who_what_and_what_next(
    tmp_path: Path, kind: type[BaseException], cause: Callable[[Path], object], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        cause(tmp_path)
    assert type(caught.value) is kind


def test_every_error_has_a_row_or_a_reason_for_none() -> None:
    assert {case[0] for case in CASES} | set(ELSEWHERE) == {errors.StepTimeout, *kinds()}


def kinds(root: type[errors.SsmError] = errors.SsmError) -> Iterator[type[errors.SsmError]]:
    """The root and all below it that `errors.py` defines."""
    if root.__module__ == errors.__name__:
        yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def test_a_failed_start_shows_the_place_in_the_init_as_its_cause() -> None:
    with pytest.raises(errors.StartFailed) as caught:
        started(Worker("w", StateMachine(step=step, init=no_disk)))
    assert type(caught.value.__cause__) is OSError


class Unsaid(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_an_exception_that_cannot_say_itself_has_one_text_in_all_processes() -> None:
    said = "<Unsaid that cannot be shown: RuntimeError>"
    assert what_it_says(Unsaid()) == errors.message_of(Unsaid()) == said
