"""Every command ends with 141, and silently, where nobody reads what it prints."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator

import pytest

from tests.http.test_program import Shell, shell
from tests.program import ROOT, Run

__all__ = ["shell"]
DEADLINE_S = 180.0
ALONE = [
    "", "help", "--help", "-h", "--version", "help call", "help data ls", "data --help",
    "call --help", "data ls --help", "check trees/kv.yaml", "schema", "--show-completion bash",
    "call --tree trees/kv.yaml kv1 'Lookup x'", "run trees/kv.yaml -c 'kv1 Store x 1'",
    "tree --tree trees/kv.yaml", "help -o json", "--help call",
]  # fmt: skip
WITH_A_TREE = [
    "ls", "ls -o json", "tree", "tree -o dot", "tree -o json", "log", "log -o json", "state kv1",
    "call kv1 'Lookup x'", "call kv1 'Store x 1' 'Lookup x'", "status kv1", "stats kv1",
    "which-children root", "count-children root", "suspend kv2",
    "cast kv1 'Store x 1'", "crash",
]  # fmt: skip


def unread(shell: Shell, line: str) -> tuple[int, str]:
    """The exit code and standard error of a command whose output nobody reads."""
    environ = {**shell.environ, "PYTHONUNBUFFERED": "1"}
    run = Run(["ssm", *shlex.split(line)], ROOT, environ, unread=True)
    _, err = run.talk(b"", DEADLINE_S)
    return run.code(), err.decode()


@pytest.mark.parametrize("line", ALONE)
def test_a_command_alone(shell: Shell, line: str) -> None:
    code, err = unread(shell, line)
    assert (code, "rror" in err, "defect" in err) == (141, False, False)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell beside a tree that runs in the background, in a runtime folder of its own."""
    beside = Shell(tmp_path_factory.mktemp("beside"))
    with tempfile.TemporaryDirectory(prefix="ssm-") as folder:  # short: a socket's path has a bound
        beside.environ["XDG_RUNTIME_DIR"] = folder
        beside.run("run", "trees/kv.yaml", "--headless", "--detach")
        yield beside
        beside.run("stop")


@pytest.mark.parametrize("line", WITH_A_TREE)
def test_a_command_beside_a_tree(beside: Shell, line: str) -> None:
    code, err = unread(beside, line)
    assert (code, "rror" in err, "defect" in err) == (141, False, False)
