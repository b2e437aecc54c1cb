"""What the program prints has no room: a result ends it with 74, a report ends no tree."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import tempfile
import termios
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli.private import write_private
from tests.http.test_program import Shell

DEADLINE_S = 60.0
ROOM = 64  # KiB that a file may have


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell with a runtime folder of its own."""
    shell = Shell(tmp_path)
    with tempfile.TemporaryDirectory(prefix="ssm-") as folder:  # short: a socket's path has a bound
        shell.environ["XDG_RUNTIME_DIR"] = folder
        yield shell


def bash(shell: Shell, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which `ssm` is the program."""
    start = f'ssm() {{ {shlex.join(shell.argv())} "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", start],
        env=shell.environ,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S * 3,
    )


@pytest.mark.parametrize(
    "streams", ["2>/dev/full", "-o json >/dev/full", ">/dev/full 2>&1", "--quiet 2>/dev/full"]
)
def test_a_headless_tree_lives_where_its_reports_have_no_room(shell: Shell, streams: str) -> None:
    started = f"ssm run trees/kv.yaml --headless --http 127.0.0.1:0 {streams} & tree=$!; "
    until = "until ssm tree >/dev/null 2>&1; do kill -0 $tree || exit 99; done; "
    served = "ssm kill kv1; ssm call kv1 'Store x 1' 'Lookup x'; ssm stop; wait $tree"
    done = bash(shell, started + until + served)
    assert (done.returncode, done.stdout) == (0, "ok\nOk\nResult 1\nok\n"), done.stderr


def test_a_script_whose_reports_have_no_room_does_all_it_says(shell: Shell) -> None:
    line = "ssm run trees/kv.yaml -c 'kill kv1' -c 'kv2 Store x 1' 2>/dev/full"
    done = bash(shell, line)
    assert (done.returncode, done.stdout) == (0, "ok\nOk\n")


@pytest.mark.parametrize(
    "line",
    [
        "ssm script a.ssm",
        "ssm script a.ssm -o json",
        "ssm script - -o json <a.ssm",
        "ssm call 'kv*' 'Lookup x'",
        "ssm call kv1 'Lookup x'",
        "ssm run trees/kv.yaml --name other --script a.ssm",
    ],
)
def test_a_result_that_has_no_room_ends_with_74(shell: Shell, tmp_path: Path, line: str) -> None:
    script = tmp_path / "a.ssm"
    script.write_text("kv1 Lookup x\n")
    line = line.replace("a.ssm", str(script))
    shell.run("run", "trees/kv.yaml", "--headless", "--detach")
    try:
        done = bash(shell, f"{line} >/dev/full")
    finally:
        shell.run("stop", "kv")
    assert done.returncode == 74
    assert "No space left on device" in done.stderr


ECHO = """
from ssm_cli import StateMachine, Supervisor, Worker

def step(message: str, state: int) -> tuple[int, str]:
    return state, message * 100_000

echo = StateMachine(step=step, init=lambda name, args: 0)
tree = Supervisor("root", children=[Worker("echo", echo)])
"""


@pytest.mark.parametrize("words", ["call --tree TREE echo x", "run TREE --quiet -c 'echo x'"])
def test_a_pipe_that_does_not_block_gets_all(shell: Shell, tmp_path: Path, words: str) -> None:
    tree = tmp_path / "echo_tree.py"
    tree.write_text(ECHO)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    held = fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ)
    with subprocess.Popen(
        shell.argv(*shlex.split(words.replace("TREE", str(tree)))),
        env=shell.environ, stdin=subprocess.DEVNULL, stdout=writing,
    ) as process:  # fmt: skip
        os.close(writing)
        waiting = array("i", [0])
        while waiting[0] < held and process.poll() is None:
            fcntl.ioctl(reading, termios.FIONREAD, waiting)
            os.sched_yield()
        with os.fdopen(reading, "rb") as told:
            assert told.read() == b"x" * 100_000 + b"\n"
        assert process.wait(DEADLINE_S) == 0


def log_of(shell: Shell) -> Path:
    log = Path(shell.environ["XDG_STATE_HOME"], "ssm", "kv.log")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 1024 * ROOM)
    return log


def test_a_tree_in_the_background_whose_log_has_no_room_comes_up(shell: Shell) -> None:
    log_of(shell)
    start = "ssm run trees/kv.yaml --headless --detach --http 127.0.0.1:0"
    done = bash(shell, f"(ulimit -S -f {ROOM}; {start}) && ssm call kv1 'Store x 1'; ssm stop kv")
    assert done.stdout.splitlines()[1:] == ["Ok", "ok"], done.stderr


def test_one_that_does_not_come_up_and_cannot_say_why_is_told_of(shell: Shell) -> None:
    log = log_of(shell)
    start = "ssm run trees/no.yaml --headless --name kv --detach"
    done = bash(shell, f"ulimit -S -f {ROOM}; {start}")
    assert done.returncode == 2
    assert done.stderr == f"ssm: kv did not come up: exit code 2; {log} has no word of why\n"


def test_a_private_file_that_cannot_be_written_is_named_and_not_left_half(shell: Shell) -> None:
    folder = Path(shell.environ["XDG_STATE_HOME"])
    folder.mkdir()
    code = (
        "import pathlib, sys; from ssm_cli.private import write_private\n"
        "try: write_private(pathlib.Path(sys.argv[1]), 'x' * 200_000)\n"
        "except OSError as error: print(error.filename)"
    )
    path = folder / "secret"
    done = bash(shell, f"ulimit -S -f {ROOM}; {shell.argv()[0]} -c {shlex.quote(code)} {path}")
    assert (done.stdout, [*folder.iterdir()]) == (f"{path}\n", [])
    write_private(path, "x")
    assert path.read_text() == "x"
