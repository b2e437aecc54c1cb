"""What is typed and pasted: each line is carried out once, in order, in every face."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssm_cli.http.client.node import HttpNode
from tests.terminal.conftest import DEADLINE_S, TREE, Open, Terminal
from tests.terminal.test_stalled import another_shell, until

CODE = """
from ssm_cli import StateMachine

def step(message, state):
    if message != "last?":
        state.append(message)
    return state, state[-1] if state else "none"

machine = StateMachine(step=step, init=lambda name, args: [])
"""
FACES = {
    "full": ("--ui", "full"),
    "inline": ("--ui", "inline"),
    "plain": ("--plain",),
    "dumb": (),
    "attach": ("--ui", "full"),
}
NOISE = ("\x1b[I", "\x1b[<35;10;12M", "\x1b[97;5u", "\x1b[9;9Z")
PAUSE_S = 0.07  # longer than what is waited for the rest of a key


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "noted.py").write_text(CODE)
    path = tmp_path / "tree.yaml"
    path.write_text("supervisor: root\nchildren:\n- {worker: c, start: './noted.py:machine'}\n")
    return path


@pytest.fixture(params=list(FACES))
def face(request: pytest.FixtureRequest, terminal: Open, tree: Path) -> Iterator[Terminal]:
    """The real program in one of its faces, over a worker that notes its inputs."""
    words = FACES[request.param]
    term = "dumb" if request.param == "dumb" else "xterm-256color"
    environ = {"TERM": term, "PROMPT_TOOLKIT_NO_CPR": "1"}
    if request.param != "attach":
        screen = terminal(*words, tree=tree, **environ)
        screen.until(
            lambda: ("ssm" in screen.text and b"\x1b[?2004h" in screen.raw) or term == "dumb"
        )
        yield screen
        return
    command = [sys.executable, "-m", "ssm_cli", "run", str(tree), "--headless"]
    folders = dict.fromkeys(("XDG_STATE_HOME", "XDG_RUNTIME_DIR"), str(tree.parent))
    with subprocess.Popen(command, env={**os.environ, **folders}, cwd=TREE.parents[1]) as process:
        try:
            until(lambda: bool(list(tree.parent.rglob("*.sock"))))
            screen = terminal(*words, verb="attach", **environ)
            screen.shows("ssm\u276f")
            yield screen
        finally:
            process.send_signal(signal.SIGTERM)


def send(screen: Terminal, data: bytes) -> None:
    """Send all of it, reading what is drawn meanwhile."""
    end_s = time.monotonic() + DEADLINE_S
    while data:
        assert time.monotonic() < end_s, screen.text
        _, ready, _ = select.select([], [screen.child.child_fd], [], 0.02)
        if ready:
            data = data[os.write(screen.child.child_fd, data[:512]) :]
        screen.read()


def noted(node: HttpNode) -> list[str]:
    state = node.get_state("c")
    assert isinstance(state, list)
    return [str(line) for line in state]


def arrive(screen: Terminal, node: HttpNode, lines: list[str]) -> None:
    """Wait for the last line; then all of them are there, once, in order."""
    screen.until(lambda: node.call("c", b"last?").decode() == lines[-1])
    assert noted(node)[-len(lines) :] == lines


PARTS = st.lists(
    st.tuples(st.sampled_from(("typed", "pasted", "noise")), st.integers(1, 12)), max_size=6
)


def test_random_scripts_in_random_pieces(face: Terminal, tree: Path) -> None:
    dumb, runs = b"\x1b" not in face.raw, iter(range(1000))

    @given(PARTS, st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=6))
    @settings(
        max_examples=6, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def story(parts: list[tuple[str, int]], cuts: list[tuple[int, bool]]) -> None:
        run, stream = next(runs), ""
        lines: list[str] = []
        for how, count in [*parts, ("typed", 1)]:
            some = [f"{run}.{len(lines) + number}" for number in range(count)]
            if how == "noise" and not dumb:
                stream += "".join(NOISE[number % len(NOISE)] for number in range(count))
            elif how == "pasted" and not dumb:
                stream += "\x1b[200~" + "\n".join(f"c {line}" for line in some) + "\x1b[201~\r"
                lines += some
            else:
                stream += "".join(f"c {line}\r" for line in some)
                lines += some
        data, done = stream.encode(), 0
        for place, is_slow in sorted((place % len(data), slow) for place, slow in cuts):
            send(face, data[done:place])
            done = place
            if is_slow:
                time.sleep(PAUSE_S)  # the link is slow, and so is no clock of ours
        send(face, data[done:])
        arrive(face, node, lines)

    with another_shell(tree.parent) as node:
        story()


def test_a_long_paste_is_carried_out_to_its_end(face: Terminal, tree: Path) -> None:
    lines = [f"line-{number}" for number in range(1000)]
    typed = "".join(f"c {line}\r" for line in lines).encode()
    with another_shell(tree.parent) as node:
        if b"\x1b" in face.raw:
            send(face, b"\x1b[200~" + typed + b"\x1b[201~")
            face.shows("1,000 lines were pasted")
            assert node.call("c", b"last?") == b"none"
            send(face, b"\r")
            arrive(face, node, lines)
        send(face, typed)
        arrive(face, node, lines)


def test_ctrl_c_stops_the_rest_and_says_how_much_that_is(terminal: Open, tree: Path) -> None:
    screen = terminal("--ui", "full", tree=tree)
    screen.shows("ssm\u276f", "c")
    with another_shell(tree.parent) as node:
        node.suspend("c")
        send(screen, b"c held\r" + b"c dropped\r" * 1999)
        screen.shows("1,999 lines wait ... Ctrl-C stops them")
        screen.type("\x03")
        screen.shows("1,999 lines were not carried out", "not waited for any longer")
        node.resume("c")
        screen.type("c last\r")
        screen.until(lambda: noted(node)[-1:] == ["last"])
        assert "dropped" not in noted(node)


@pytest.mark.parametrize(
    "how", [("--plain", "xterm-256color"), ("--ui=full", "xterm"), ("", "dumb")]
)
def test_ctrl_d_behind_many_lines_leaves_when_they_are_done(
    terminal: Open, tree: Path, how: tuple[str, str]
) -> None:
    (tree.parent / "noted.py").write_text(
        CODE
        + f"""
def terminate(name, state, reason):
    open({str(tree.parent / "state")!r}, "w").write(" ".join(state))

machine = StateMachine(step=step, init=lambda name, args: [], terminate=terminate)
"""
    )
    screen = terminal(*filter(None, how[:1]), tree=tree, TERM=how[1], PROMPT_TOOLKIT_NO_CPR="1")
    screen.shows("ssm")
    send(screen, b"".join(b"c %d\r" % number for number in range(300)) + b"\x04")
    assert screen.ends() == 0
    assert (tree.parent / "state").read_text().split() == [str(number) for number in range(300)]


def test_esc_and_enter_send_the_line_in_vi_mode(terminal: Open, tree: Path) -> None:
    config = tree.parent / "config" / "ssm"
    config.mkdir(parents=True)
    (config / "config.toml").write_text('editing = "vi"\n')
    screen = terminal(tree=tree)
    screen.shows("ssm\u276f", "c")
    with another_shell(tree.parent) as node:
        screen.type("c one\x1b\r")
        screen.until(lambda: noted(node) == ["one"])
