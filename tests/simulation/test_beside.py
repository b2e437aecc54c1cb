"""Work beside a tree: the tree goes on, and the process of the work is gone whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import Node, StateMachine, Supervisor, Worker
from ssm_cli.commands.execute import aexecute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError, NoProc, TreeFileError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.history.grammar import BadExpr
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.simulation import beside
from ssm_cli.simulation.asking import with_futures
from ssm_cli.simulation.beside import MOST_BESIDE, Tell, WorkBeside
from ssm_cli.spec.load import load_tree
from tests.architecture.source import ROOT
from tests.simulation.weaknesses import Add, zero

DEADLINE_S = 120.0  # a bound for a machine under load; nothing waits for it


def ran(coming: Coroutine[Any, Any, Any]) -> Any:
    async def in_time() -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return await coming

    return asyncio.run(in_time())


def endless(tell: Tell) -> None:
    number = 0
    while True:
        number += 1
        tell("steps", number, 0)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110 - another process tells of nothing
        await asyncio.sleep(0.001)


async def gone(pid: int) -> None:
    await until(lambda: not is_there(pid))


async def begun(works: WorkBeside) -> int:
    await until(lambda: works.under_way)
    return next(iter(works.under_way))


def test_the_tree_serves_calls_while_a_search_beside_it_has_no_end() -> None:
    async def main() -> None:
        node = Node(Supervisor("root", children=[Worker("kv1", kv_store)])).start()
        serving, works = asyncio.create_task(node.serve()), WorkBeside()
        task = asyncio.create_task(works.do("endless", endless))
        pid = await begun(works)
        for number in range(20):
            assert await node.acall("kv1", f"Store x {number}".encode()) == b"Ok"
        assert works.told()["under_way"][0]["pid"] == pid
        task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), works.told()) == (True, {"under_way": []})
        await gone(pid)
        node.stop()
        await serving

    ran(main())


@pytest.mark.parametrize(
    ("effect", "given"),
    [
        ("chaos", {"steps": "50", "page": "yes"}),
        ("check_policy", {"faults": "2"}),
        ("fuzz", {"worker": "kv1", "steps": "2000"}),
    ],
)
def test_what_is_found_beside_the_tree_is_what_is_found_in_its_place(
    effect: str, given: dict[str, str]
) -> None:
    async def main() -> None:
        node = with_futures(Node(load_tree(ROOT / "trees/kv.yaml"), history=100).start(), instant)
        node.call("kv1", b"Store x 1")
        before = node.digest(), node.last_seq
        found = await node.perform("beside", effect, at="1", **given)
        assert found == node.perform(effect, at="1", **given)
        assert (node.digest(), node.last_seq) == before
        node.stop()

    ran(main())


def test_how_far_it_is_is_told_in_words_and_to_others() -> None:
    async def main() -> None:
        works, heard = WorkBeside(), list[str]()
        task = asyncio.create_task(works.do("endless", endless, heard.append))
        await until(lambda: heard)
        assert heard[0].endswith(" steps")
        assert works.told()["under_way"][0]["far"].endswith(" steps")
        task.cancel()
        await asyncio.wait({task})

    ran(main())


def raising(error: BaseException) -> Callable[[Tell], None]:
    def work(_tell: Tell) -> None:
        raise error

    return work


def unpicklable() -> CommandError:
    error = CommandError("no")
    error.lock = threading.Lock()  # type: ignore[attr-defined]  # what a careless one may hold
    return error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (CommandError("no", column=7), CommandError, "no"),
        (BadExpr("no", text="state +", column=7), BadExpr, "no$"),
        (NoProc("no", worker="kv9", reason="noproc"), NoProc, "kv9: no$"),
        (unpicklable(), CommandError, "no"),
        (KeyError("x"), CommandError, "could not be carried out: Traceback"),
        (SystemExit(3), CommandError, "SystemExit"),
    ],
)
def test_what_the_work_raises_is_raised_here(error: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as raised:
        ran(WorkBeside().do("it", raising(error)))
    assert getattr(raised.value, "column", None) == getattr(error, "column", None) or said != "no"


def test_complaints_about_a_tree_file_come_back_whole(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("supervisor: root\nstrategy: sideways\nchildren: 7\n")
    with pytest.raises(TreeFileError) as here:
        load_tree(bad)
    with pytest.raises(TreeFileError) as there:
        ran(WorkBeside().do("it", lambda _tell: load_tree(bad)))
    assert str(there.value) == str(here.value)


def test_a_process_that_is_killed_is_said_to_be_and_its_work_has_failed() -> None:
    work = lambda _tell: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731 - it is one line
    with pytest.raises(CommandError, match="its process was ended from outside"):
        ran(WorkBeside().do("it", work))


def test_a_work_that_does_not_end_is_ended_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "LIMIT_S", 0.02)
    with pytest.raises(CommandError, match=r"it was ended after 0\.02 s; ask for less"):
        ran(WorkBeside().do("it", endless))


def test_so_many_at_once_and_no_more() -> None:
    async def main() -> None:
        works = WorkBeside()
        tasks = [asyncio.create_task(works.do("it", endless)) for _ in range(MOST_BESIDE)]
        await until(lambda: len(works.under_way) == MOST_BESIDE)
        with pytest.raises(CommandError, match=r"4 are under way already .*wait for one"):
            await works.do("it", endless)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    ran(main())


def test_a_large_answer_comes_whole_and_one_beyond_the_bound_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(ran(WorkBeside().do("it", lambda _tell: b"x" * 5_000_000))) == 5_000_000
    monkeypatch.setattr(beside, "MOST_BYTES", 1_000)
    with pytest.raises(CommandError, match=r"its answer takes 2,\d+ bytes; at most 1,000"):
        ran(WorkBeside().do("it", lambda _tell: b"x" * 2_000))


def test_the_process_holds_nothing_that_others_wait_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, tempfile.TemporaryFile() as file:
        ours, its = os.pipe()

        def held(_tell: Tell) -> list[bool]:
            return [Path(f"/dev/fd/{one}").exists() for one in (door.fileno(), its, file.fileno())]

        assert ran(WorkBeside().do("it", held)) == [False, False, True]
        os.close(ours)
        os.close(its)


def test_signals_have_their_default_handlers_there_and_ours_stay() -> None:
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        default = ran(
            WorkBeside().do("it", lambda _tell: signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        )
        assert default
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


ABANDONING = """\
import asyncio, os, sys
from ssm_cli.simulation.beside import WorkBeside

def endless(tell):
    while True:
        pass

async def main():
    works = WorkBeside()
    task = asyncio.create_task(works.do("endless", endless))
    while not works.under_way:
        await asyncio.sleep(0)
    print(*works.under_way, flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def test_the_process_ends_with_one_that_is_killed() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", ABANDONING], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        program.kill()
    ran(gone(pid))


def stuck(message: Add, state: int) -> tuple[int, None]:
    while True:
        state += 1


def test_a_command_of_a_prompt_holds_neither_the_tree_nor_the_other_tasks() -> None:
    async def main() -> None:
        tree = Supervisor(
            "root",
            children=[
                Worker("kv1", kv_store),
                Worker("stuck", StateMachine(step=stuck, init=zero, inputs=Add)),
            ],
            intensity=99,
        )
        node = with_futures(Node(tree, clock=ManualClock(), history=16).start(), instant)
        line = "chaos --steps 1000000 --late 1%"
        command = parse_line(line, ["kv1", "stuck"])
        assert command is not None
        task = asyncio.create_task(aexecute(command, node))
        await until(lambda: node.perform("futures")["under_way"])
        assert node.call("kv1", b"Store x 1") == b"Ok"  # while a step really hangs over there
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert node.perform("futures") == {"under_way": []}
        node.stop()

    ran(main())


def test_a_tree_of_a_file_is_asked_beside_the_one_that_runs(tmp_path: Path) -> None:
    file = tmp_path / "tree.yaml"
    (tmp_path / "here_alone.py").write_text("from ssm_cli.machines.kv import kv_store\n")
    file.write_text("supervisor: r\nchildren:\n- {worker: w, start: './here_alone.py:kv_store'}\n")
    node = with_futures(Node(Supervisor("root"), clock=ManualClock()).start(), instant)
    command = parse_line(f"check-policy {file} --faults 1", [])
    assert command is not None
    result = ran(aexecute(command, node))
    assert (result.exit_code, result.lines[0].partition(" ")[0]) == (ExitCode.DONE, "tree")
    assert not any("here_alone" in str(vars(m).get("__file__")) for m in [*sys.modules.values()])
    node.stop()
