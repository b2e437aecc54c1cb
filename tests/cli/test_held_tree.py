"""A tree whose process is stopped, as by SIGSTOP: whoever asks it is told what is known."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ssm_cli.errors import CallTimeout
from ssm_cli.http.client import connection, silence
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.node import HttpNode
from tests.http.test_program import Shell
from tests.program import ROOT


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Shell, int]]:
    """A shell beside a tree that is stopped, and the tree's process."""
    shell = Shell(tmp_path)
    with tempfile.TemporaryDirectory(prefix="ssm-") as folder:
        shell.environ["XDG_RUNTIME_DIR"] = folder
        start = ("run", "trees/kv.yaml", "--headless", "--detach", "-o", "json")
        pid = json.loads(shell.run(*start))["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield shell, pid
        finally:
            with suppress(ProcessLookupError):  # it has stopped
                os.kill(pid, signal.SIGKILL)


def test_a_call_says_that_the_input_may_still_be_stepped(held: tuple[Shell, int]) -> None:
    shell, _ = held
    said = shell.run("call", "kv1", "--timeout", "0.2", "Store x 1", code=124)
    assert "did not answer within 1.2 s; the input may still be stepped" in said


def test_stop_says_which_process_is_stopped_and_ends_the_tree_once_that_goes_on(
    held: tuple[Shell, int],
) -> None:
    shell, pid = held
    with subprocess.Popen(
        shell.argv("stop"), cwd=ROOT, env=shell.environ, stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        assert f"its process {pid} is stopped" in said
        assert f"`kill -CONT {pid}` lets it go on" in said
        os.kill(pid, signal.SIGCONT)
        assert waiting.wait() == 0


def test_a_stop_of_a_tree_whose_process_is_stopped_ends_in_time(
    held: tuple[Shell, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, pid = held
    for module, limit in ((connection, "QUIET_S"), (connection, "PROBE_S"), (silence, "HELD_S")):
        monkeypatch.setattr(module, limit, 0.1)
    node, said = HttpNode(Address(path=str(shell.socket))), list[str]()
    node.connection.notice = said.append
    with pytest.raises(CallTimeout, match=r"did not answer within 0.1 s"):
        node.stop()
    assert [f"process {pid} is stopped" in line for line in said] == [True]


def test_a_stop_of_a_tree_that_answers_nobody_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, limit in ((connection, "QUIET_S"), (connection, "PROBE_S"), (silence, "MUTE_S")):
        monkeypatch.setattr(module, limit, 0.1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        node, said = HttpNode(Address(host="127.0.0.1", port=deaf.getsockname()[1])), list[str]()
        node.connection.notice = said.append
        with pytest.raises(CallTimeout):
            node.stop()
    [line] = said
    assert "its process is in a long step, hangs, or is stopped; Ctrl-C gives up waiting" in line
