"""A tree whose process is stopped, as by SIGSTOP: whoever asks it is told what is known."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.http.test_program import Shell


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
