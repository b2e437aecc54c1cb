"""A forked program is a process like any: its end, its signals, its terminal; none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.fork_client import forked
from tests.on_terminal import on_terminal
from tests.program import ROOT, Run, command, python, server, ssm

WAITS = "import os, signal; print(os.getpid(), flush=True); signal.pause()"


def is_gone(pid: int, within_s: float = 60) -> bool:
    """Whether a process ends in time."""
    end_s = time.monotonic() + within_s
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.002)
    return True


@pytest.mark.parametrize("code", [0, 3, 141])
def test_its_exit_code_is_that_of_the_program(code: int) -> None:
    program = f"import sys; print('said'); sys.exit({code})"
    assert (python(program).returncode, python(program).stdout) == (code, "said\n")
    assert subprocess.run([*command("-c"), program], check=False).returncode == code


@pytest.mark.parametrize(
    ("program", "said"),
    [("raise SystemExit('no')", "no\n"), ("raise ValueError('no')", "ValueError: no\n")],
)
def test_what_is_raised_out_of_it_is_told_as_by_the_interpreter(program: str, said: str) -> None:
    done = python(program)
    assert done.returncode == 1
    assert done.stderr.endswith(said)


def test_what_is_left_open_is_told_at_its_end() -> None:
    done = python("import socket; a = [socket.socket()]; a.append(a); del a")
    assert "ResourceWarning: unclosed" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_what_ends_the_one_who_stands_for_it_ends_it(number: signal.Signals) -> None:
    words = [*command("-c"), WAITS]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert pid != process.pid
        process.send_signal(number)
        assert process.wait(60) == -number
    assert is_gone(pid)


def test_a_signal_that_comes_twice_is_handed_on_once() -> None:
    """As `timeout` sends it: to the process, and to all of its group."""
    program = (
        "import os, signal, sys; signal.signal(15, lambda *_: os.write(1, b'told\\n'));"
        "print('up', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command("-c"), program], **pipes) as process:  # type: ignore[call-overload]  # pipes by name
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"told\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == (b"", None)
        assert process.returncode == 0


def test_it_is_killed_once_nobody_asks_for_its_end() -> None:
    run = Run(["-c", WAITS], ROOT, os.environ)
    assert Path(f"/proc/{run.pid}").exists()
    run.end.close()
    assert is_gone(run.pid)
    for descriptor in (run.out, run._in, run._err):
        os.close(descriptor)


def test_on_a_terminal_it_leads_a_session_of_its_own() -> None:
    child = on_terminal("--version", cwd=ROOT, env=os.environ, encoding="utf-8")
    assert "ssm " in child.read()
    child.close()
    assert child.exitstatus == 0
    shown, end = os.openpty()
    program = "import os; print(os.getsid(0) == os.getpid(), os.tcgetpgrp(0) == os.getpgrp())"
    _, asked = forked(server(), ["-c", program], str(ROOT), os.environ, [end] * 3, terminal=True)
    with asked:
        assert asked.recv(32) == b"0"
    os.close(end)
    assert os.read(shown, 100) == b"True True\r\n"
    os.close(shown)


def test_folder_and_variables_are_those_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from ssm_cli.machines.kv import kv_store")
    (tmp_path / "t.yaml").write_text(
        "supervisor: r\nchildren: [{worker: a, start: './mine.py:kv_store'}]\n"
    )
    assert ssm("check", "t.yaml", cwd=tmp_path).stdout == "t.yaml: ok, 1 supervisor, 1 worker\n"
    words = [*command("-c"), "import os; print(os.getcwd(), os.environ.get('SSM_ODD'))"]
    done = subprocess.run(
        words, cwd=tmp_path, env={"SSM_ODD": "x"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path} x\n"
