"""A flood to one worker, a busy live view and a slow client at once: nobody is starved."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.program import command
from tests.terminal.conftest import TREE, Open, Terminal

PROMPT = "ssm\u276f"

WORKER = """
import msgspec
from ssm_cli import Cast, StateMachine

class Go(msgspec.Struct, frozen=True):
    pass

def step(message: Go, state: int):
    return state + 1, state, [Cast(None, message)]  # it is never done

flood = StateMachine(step=step, init=lambda name, args: 0, inputs=Go)
"""
NODES = """
supervisor: root
children:
- {worker: flood, start: './flood.py:flood'}
- {worker: kv, start: 'ssm_cli.machines.kv:kv_store'}
"""


def flooded(terminal: Open, folder: Path) -> Terminal:
    """A tree at a prompt whose worker `flood` sends to itself without end."""
    (folder / "flood.py").write_text(WORKER)
    tree = folder / "tree.yaml"
    tree.write_text(NODES)
    screen = terminal(tree=tree, rows=36, columns=120)
    screen.shows(PROMPT, "● flood")
    screen.type("cast flood Go\r")
    screen.until(lambda: "/s" in screen.text)
    return screen


def test_a_flood_a_busy_screen_and_a_slow_client_keep_nobody_waiting(
    terminal: Open, tmp_path: Path
) -> None:
    screen = flooded(terminal, tmp_path)
    (path,) = tmp_path.rglob("*.sock")
    slow = socket.socket(socket.AF_UNIX)
    with slow:
        slow.connect(str(path))
        slow.sendall(b"POST /v1/workers/kv/call HTTP/1.1\r\nhost: x\r\ncontent-le")
        screen.type("kv Store x 7\r")
        screen.shows("Ok")
        called = subprocess.Popen(
            [*command(), "call", "kv", "Lookup x"],
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
            cwd=TREE.parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )
        screen.until(lambda: called.poll() is not None)
        assert called.communicate()[0] == "Result 7\n"
        slow.setblocking(False)
        with pytest.raises(BlockingIOError):  # its time goes on, and nobody has waited for it
            slow.recv(1)
    screen.type("\x04")
    assert screen.ends() == 0
