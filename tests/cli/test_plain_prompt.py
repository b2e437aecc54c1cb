"""The prompt of a terminal that can only print lines, on a real pseudo-terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no types

ROOT = Path(__file__).parents[2]
KV = 'supervisor: root\nchildren:\n  - {worker: kv2, start: "ssm_cli.machines.kv:kv_store"}\n'


@contextmanager
def plain(folder: Path) -> Iterator[pexpect.spawn]:
    tree = folder / "kv.yaml"
    tree.write_text(KV)
    child = pexpect.spawn(
        sys.executable,
        ["-W", "error", "-m", "ssm_cli", "run", str(tree)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "dumb"},
        encoding="utf-8",
        timeout=30,
    )
    try:
        yield child
    finally:
        child.close(force=True)


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


def test_ctrl_c_at_a_plain_prompt_stops_the_tree_and_exits_with_130(tmp_path: Path) -> None:
    with plain(tmp_path) as child:
        child.expect_exact("ssm> ")
        child.sendintr()
        child.expect_exact("root stopped")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 130
