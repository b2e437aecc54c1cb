"""A running tree has one thread: alone, under asyncio, and as the program with its screen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no type stubs of its own
import pytest

from ssm_cli.render.reply import MARK
from tests.architecture.source import ROOT
from tests.on_terminal import on_terminal

DEADLINE_S = 120.0  # a bound for a machine under load; nothing waits for it

ALONE = """\
import os
from ssm_cli import Node, load_tree
with Node(load_tree("trees/kv.yaml")) as node:
    node.call("kv2", b"Store x 1")
    print(len(os.listdir("/proc/self/task")))
"""

UNDER_ASYNCIO = """\
import asyncio, os
from ssm_cli import CalleeCrashed, Node, load_tree

async def main():
    node = Node(load_tree("trees/kv.yaml")).start()
    serving = asyncio.create_task(node.serve())
    await node.acall("kv2", b"Store x 1")
    try:
        await node.acall("kv2", b"Lookup crash")
    except CalleeCrashed:
        pass
    print(len(os.listdir("/proc/self/task")))
    node.stop()
    await serving

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="needs /proc/PID/task to count threads"
)


def threads_of(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


@pytest.mark.parametrize("program", [ALONE, UNDER_ASYNCIO], ids=["alone", "under asyncio"])
def test_a_tree_in_a_program_of_ones_own_has_one_thread(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "1\n"


@contextmanager
def program(home: Path, *options: str) -> Iterator[pexpect.spawn]:
    env = {**os.environ, "TERM": "xterm-256color", "XDG_STATE_HOME": str(home)}
    child = on_terminal("run", "trees/kv.yaml", *options, cwd=ROOT, env=env)
    try:
        yield child
    finally:
        child.close(force=True)


@pytest.mark.parametrize(
    ("options", "shown"),
    [((), f"ssm{MARK} "), (("--plain",), "ssm> "), (("--headless",), "root started")],
    ids=["screen", "plain", "headless"],
)
def test_the_program_has_one_thread(tmp_path: Path, options: tuple[str, ...], shown: str) -> None:
    with program(tmp_path, *options) as child:
        child.expect_exact(shown.encode())
        if not options:  # a call went through the prompt, its history and the completer
            child.send(b"kv2 Store x 1\r")
            child.expect_exact(b"Ok")
        assert threads_of(child.pid) == 1
