"""A terminal or a pipe that nobody reads: the tree goes on, and what was dropped is said."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ssm_cli.errors import CalleeCrashed, CommandError
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.node import HttpNode
from ssm_cli.repl.shell import programs
from tests.terminal.conftest import DEADLINE_S, TREE, Open

CRASHES = 600
LONG = "x" * 900  # each crash makes five reports, some of which show the input
BUSY = """
supervisor: root
intensity: 1000000
children:
- {worker: kv, start: './busy.py:machine'}
"""
CODE = """
from ssm_cli import StateMachine

def step(message, state):
    if message.startswith("crash"):
        raise ValueError(message)
    return state + 1, message

machine = StateMachine(step=step, init=lambda name, args: 0)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "busy.py").write_text(CODE)
    path = tmp_path / "tree.yaml"
    path.write_text(BUSY)
    return path


def until(holds: Callable[[], bool]) -> None:
    for _ in range(int(DEADLINE_S / 0.02)):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to hold")


@contextmanager
def another_shell(folder: Path) -> Iterator[HttpNode]:
    """The tree as another shell finds it."""
    until(lambda: bool(list(folder.rglob("*.sock"))))
    (path,) = folder.rglob("*.sock")
    node = HttpNode(Address(path=str(path)))
    with closing(node.connection):
        yield node


def crash_often(node: HttpNode) -> None:
    """Have the tree make far more reports than any pipe or terminal holds."""
    for _ in range(CRASHES):
        with pytest.raises(CalleeCrashed):
            node.call("kv", f"crash {LONG}".encode(), timeout_s=DEADLINE_S)
    assert node.call("kv", b"still here", timeout_s=DEADLINE_S) == b"still here"


@contextmanager
def program(folder: Path, *words: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ssm_cli", "run", str(folder / "tree.yaml"), *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "XDG_STATE_HOME": str(folder)},
        cwd=TREE.parents[1],
        **streams,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_reports_to_a_pipe_that_nobody_reads_are_dropped_and_counted(tree: Path) -> None:
    with program(tree.parent, "--headless", stderr=subprocess.PIPE) as process:
        with another_shell(tree.parent) as node:
            for _ in range(3):
                crash_often(node)
            node.stop()
        assert process.stderr is not None
        told = process.stderr.read().decode().splitlines()
        assert process.wait(DEADLINE_S) == 0
    assert any("lines were dropped: nobody read them" in line for line in told)


def test_reports_that_are_never_read_do_not_keep_the_program_from_its_end(tree: Path) -> None:
    with program(tree.parent, "--headless", stderr=subprocess.PIPE) as process:
        with another_shell(tree.parent) as node:
            crash_often(node)
            node.stop()
        assert process.wait(DEADLINE_S) == 0


def test_results_that_were_asked_for_wait_for_their_reader_and_none_is_lost(tree: Path) -> None:
    script = tree.parent / "a.ssm"
    script.write_text("".join(f"kv {number}-{LONG}\n" for number in range(500)))
    words = ("--quiet", "--script", str(script))
    with program(tree.parent, *words, stdout=subprocess.PIPE) as process:
        with another_shell(tree.parent) as node:
            until(lambda: int(str(node.get_state("kv"))) > 60)
            assert node.call("kv", b"still here", timeout_s=DEADLINE_S) == b"still here"
        assert process.poll() is None
        assert process.stdout is not None
        told = process.stdout.read().decode().splitlines()
        assert process.wait(DEADLINE_S) == 0
    assert told == [f"{number}-{LONG}" for number in range(500)]


@pytest.mark.parametrize("ui", ["full", "inline", "plain"])
def test_a_tree_goes_on_whose_terminal_is_not_read(terminal: Open, tree: Path, ui: str) -> None:
    screen = terminal("--ui", ui, tree=tree)
    screen.shows("kv" if ui != "plain" else "ssm>")
    with another_shell(tree.parent) as node:
        crash_often(node)
    screen.type("kv hello\r")
    screen.shows("hello")
    screen.type("\x04")
    assert screen.ends() == 0


@pytest.mark.parametrize("how", ["--plain", "--ui=plain"])
def test_a_tree_goes_on_behind_ctrl_s(terminal: Open, tree: Path, how: str) -> None:
    screen = terminal(how, tree=tree)
    screen.shows("ssm>")
    screen.type("\x13")
    with another_shell(tree.parent) as node:
        crash_often(node)
    screen.type("\x11kv hello\r")
    screen.shows("hello")
    screen.type("\x04")
    assert screen.ends() == 0


# -- files that are none ---------------------------------------------------------------------------


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("ui", ["full", "plain"])
@pytest.mark.parametrize("line", ["tree > {}", "tree >> {}", "source {}"])
def test_a_command_waits_for_the_other_end_of_a_pipe_and_the_tree_does_not(
    terminal: Open, tree: Path, fifo: Path, ui: str, line: str
) -> None:
    screen = terminal("--ui", ui, tree=tree)
    screen.shows("kv" if ui == "full" else "ssm>")
    screen.type(f"{line.format(fifo)}\r")
    with another_shell(tree.parent) as node:
        for _ in range(3):
            assert node.call("kv", b"still here", timeout_s=DEADLINE_S) == b"still here"
    screen.type("\x03")
    screen.type("kv hello\r")
    screen.shows("hello")
    screen.type("\x04")
    assert screen.ends() == 0


def test_a_pipe_is_written_to_and_read_like_a_file(terminal: Open, tree: Path, fifo: Path) -> None:
    screen = terminal("--ui", "plain", tree=tree)
    screen.shows("ssm>")
    screen.type(f"kv hello > {fifo}\r")
    assert fifo.read_text() == "hello\n"
    screen.shows(f"1 line to {fifo}")
    screen.type(f"source {fifo}\r")
    fifo.write_text("kv first\nkv second\n")
    screen.shows("first", "second")
    screen.type("\x04")
    assert screen.ends() == 0


def test_a_script_that_is_a_pipe_without_a_writer_keeps_nobody_waiting(
    tree: Path, fifo: Path
) -> None:
    with program(tree.parent, "--script", str(fifo), stdout=subprocess.PIPE) as process:
        with another_shell(tree.parent) as node:
            assert node.call("kv", b"still here", timeout_s=DEADLINE_S) == b"still here"
        fifo.write_text("kv one\nkv two\n")
        assert process.stdout is not None
        assert process.stdout.read() == b"one\ntwo\n"
        assert process.wait(DEADLINE_S) == 0


def test_a_history_that_is_a_pipe_is_not_kept_and_the_session_goes_on(
    terminal: Open, tree: Path
) -> None:
    history = tree.parent / "ssm" / "history"
    history.parent.mkdir(exist_ok=True)
    os.mkfifo(history)
    screen = terminal("--ui", "full", tree=tree)
    screen.shows("not kept:", "it is a pipe")
    screen.type("kv hello\r")
    screen.shows("hello")
    screen.type("\x04")
    assert screen.ends() == 0


def test_a_program_that_fails_fails_the_command_and_the_script(tree: Path) -> None:
    words = ("--quiet", "-c", "kv one | false", "-c", "kv two")
    with program(tree.parent, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (74, b"")
    ends = "the script ends here, and goes on with --keep-going"
    assert err.decode().splitlines() == [
        "`false` ended with exit code 1", f"-c:1: `call` has failed (74); {ends}",
    ]  # fmt: skip


# -- programs and files at the edge ----------------------------------------------------------------


def played(tree: Path, *words: str, given: bytes = b"") -> tuple[int, str, str]:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with program(tree.parent, "--quiet", *words, **streams) as process:
        out, err = process.communicate(given, timeout=DEADLINE_S)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("tree > ~nosuch/x", "`~nosuch` is no folder of a user"),
        ("kv one | " + "x" * 200_000, "Argument list too long"),
        ("tree > /nosuch/x", "cannot write /nosuch/x"),
        ("tree > a\0b", "no NUL character"),
        ("tree | cat \0b", "no NUL character"),
    ],
)
def test_what_cannot_be_redirected_fails_its_command_and_not_the_run(
    tree: Path, line: str, says: str
) -> None:
    script = tree.parent / "a.ssm"
    script.write_text(f"{line}\nkv two\n")
    code, out, err = played(tree, "--keep-going", "--script", str(script))
    assert says in err
    assert (code, out) == (2, "two\n")


def test_a_script_may_be_any_descriptor_and_one_that_cannot_be_read_fails(tree: Path) -> None:
    assert played(tree, "--script", "/dev/stdin", given=b"kv one\n") == (0, "one\n", "")
    shell = f"{sys.executable} -m ssm_cli run {tree} --quiet --script <(echo 'kv one')"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("one\n", "")
    path = tree.parent / "a.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        code, out, err = played(tree, "--script", str(path))
    assert (code, out) == (2, "")
    assert f"cannot read the script {path}" in err


def test_what_a_program_writes_is_whole_and_has_a_bound(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = played(tree, "-c", "kv x | head -c 3000000 /dev/zero | tr '\\0' y")
    assert (code, len(out)) == (0, 3_000_001)
    monkeypatch.setattr(programs, "OUTPUT_BYTES", 1000)
    with pytest.raises(CommandError, match="writes more than"):
        asyncio.run(programs.filtered("head -c 2000 /dev/zero", b""))


def test_a_program_that_nobody_waits_for_ends_with_all_that_it_has_started(tree: Path) -> None:
    mark = f"{os.getpid()}.25"
    with program(tree.parent, "-c", f"kv x | sleep {mark}; true") as process:
        until(lambda: bool(running(f"sleep {mark}")))
        process.terminate()
        assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
    until(lambda: not running(f"sleep {mark}"))


def running(command: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().replace(b"\0", b" ").decode().strip()
            found += [words] if words == command else []
    return found


def test_as_json_only_records_are_printed(tree: Path) -> None:
    file = tree.parent / "out"
    words = ("-o", "json", "-c", f"kv one > {file}", "-c", "kv two | cat", "-c", "kv three")
    code, out, err = played(tree, *words)
    assert (code, err) == (0, "")
    told = [json.loads(line) for line in out.splitlines()]
    assert [record["type"] for record in told] == ["redirected", "redirected", "reply"]
    assert [record["lines"] for record in told[:2]] == [[f"1 line to {file}"], ["two"]]


def test_reports_that_are_dropped_are_a_record_where_records_are_printed(tree: Path) -> None:
    with program(tree.parent, "--headless", "-o", "json", stdout=subprocess.PIPE) as process:
        with another_shell(tree.parent) as node:
            for _ in range(2):
                crash_often(node)
            seq = int(node.info()["seq"])
            node.stop()
        assert process.stdout is not None
        told = [json.loads(line) for line in process.stdout.read().splitlines()]
        assert process.wait(DEADLINE_S) == 0
    (dropped,) = (record for record in told if record["type"] == "dropped")
    numbers = [record["seq"] for record in told if record["type"] == "report"]
    assert dropped["missed"] + len(numbers) >= seq


@pytest.mark.parametrize("command", ["kv one", "tree"])
def test_output_that_cannot_be_written_is_one_line_and_no_traceback(
    tree: Path, command: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        words = ("--quiet", "-c", command, "-c", command)
        with program(tree.parent, *words, stdout=full, stderr=subprocess.PIPE) as process:
            _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 74
    assert err.decode() == "ssm: input or output failed: No space left on device\n"


def test_a_log_whose_reader_is_gone_ends(tree: Path) -> None:
    with program(tree.parent, "--headless", stderr=subprocess.DEVNULL) as process:
        with another_shell(tree.parent) as node:
            environ = {**os.environ, "XDG_RUNTIME_DIR": str(tree.parent)}
            shell = f"{sys.executable} -m ssm_cli log -f -n 100 | true; exit ${{PIPESTATUS[0]}}"
            done = subprocess.run(
                ["bash", "-c", shell], env=environ, timeout=DEADLINE_S, check=False
            )
            assert done.returncode == 141
            node.stop()
        assert process.wait(DEADLINE_S) == 0
