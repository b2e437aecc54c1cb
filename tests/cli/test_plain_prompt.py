"""The prompt of a terminal that can only print lines, on a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no types
import pytest

from tests.on_terminal import on_terminal
from tests.program import ROOT, ssm

KV = 'supervisor: root\nchildren:\n  - {worker: kv2, start: "ssm_cli.machines.kv:kv_store"}\n'


@contextmanager
def plain(folder: Path, *more: str, term: str = "dumb") -> Iterator[pexpect.spawn]:
    tree = folder / "kv.yaml"
    tree.write_text(KV)
    child = on_terminal(
        "run", str(tree), *more, cwd=ROOT, env=os.environ | {"TERM": term}, encoding="utf-8"
    )
    try:
        yield child
    finally:
        child.close(force=True)


def waiting() -> int:
    """How many inputs wait for kv2, as another shell sees it."""
    run = ssm("tree", "--name", "kv", "-o", "json")
    return int(json.loads(run.stdout)["children"][0]["queue"])


def test_a_dumb_terminal_gets_a_prompt_that_survives_failures(tmp_path: Path) -> None:
    with plain(tmp_path) as child:
        child.expect_exact("ssm> ")
        child.sendline("kv2 Store x 1")
        child.expect_exact("Ok\r\nssm> ")
        child.sendline("kv2 Lookup crash")
        child.expect_exact("kv2 crashed on `Lookup crash`")
        child.expect_exact("ssm> ")
        child.sendline("kv2 Lookup x")
        child.expect_exact("Result None\r\nssm> ")
        child.sendeof()
        child.expect(pexpect.EOF)
        assert "\x1b" not in str(child.before)
        child.close()
        assert child.exitstatus == 0


@pytest.mark.parametrize("how", [((), "dumb"), (("--plain",), "xterm")])
def test_ctrl_c_clears_the_line_and_the_tree_goes_on(
    tmp_path: Path, how: tuple[tuple[str, ...], str]
) -> None:
    with plain(tmp_path, *how[0], term=how[1]) as child:
        child.expect_exact("ssm> ")
        child.send("kv2 Lookup cra")
        child.expect_exact("cra")
        for _ in range(3):  # as often as one likes
            child.sendintr()
            child.expect_exact("ssm> ")
        child.send("kv2 Store x 1\r")
        child.expect_exact("Ok")
        child.expect_exact("ssm> ")
        child.sendeof()
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0


def test_ctrl_c_stops_waiting_for_a_call_and_the_tree_goes_on(tmp_path: Path) -> None:
    with plain(tmp_path) as child:
        child.expect_exact("ssm> ")
        child.sendline("suspend kv2")
        child.expect_exact("ok\r\nssm> ")
        child.sendline("call --timeout 600 kv2 Store x 1")
        child.expect_exact("1\r\n")
        while not waiting():  # the terminal drops a line that was not read yet
            pass
        child.sendintr()
        child.expect_exact("nobody waits for it any more")
        child.expect_exact("ssm> ")
        child.sendline("resume kv2")
        child.expect_exact("ok\r\nssm> ")
        child.sendline("kv2 Lookup x")
        child.expect_exact("Result 1\r\nssm> ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_the_tree_at_a_plain_prompt(tmp_path: Path, number: int) -> None:
    with plain(tmp_path) as child:
        child.expect_exact("ssm> ")
        child.kill(number)
        child.expect_exact("root stopped")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 128 + number
