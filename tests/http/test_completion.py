"""Shell completion: commands, trees that run, and the names of their workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.http.serving import ROOT
from tests.http.test_program import Shell
from tests.program import ssm


def completed(shell: Shell, line: str, kind: str = "bash") -> list[str]:
    """What a shell is offered for the last word of a line."""
    words = line.split(" ")
    done = ssm(
        cwd=ROOT,
        env={
            **shell.environ,
            "_SSM_COMPLETE": f"complete_{kind}",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    )
    return done.stdout.split()


@pytest.mark.parametrize("kind", ["bash", "fish", "zsh"])
def test_workers_of_the_running_tree_complete(tmp_path: Path, kind: str) -> None:
    shell = Shell(tmp_path)
    shell.run("run", "trees/kv.yaml", "--headless", "--detach")
    found = " ".join(completed(shell, "ssm call kv", kind))
    assert all(name in found for name in ("kv1", "kv2", "kv3"))
    assert "kv" in completed(shell, "ssm attach k")
    shell.run("stop")


@pytest.mark.parametrize("kind", ["bash", "fish", "zsh"])
def test_help_completes_names_of_commands(tmp_path: Path, kind: str) -> None:
    shell = Shell(tmp_path)
    found = " ".join(completed(shell, "ssm help c", kind))
    assert all(name in found for name in ("call", "cast", "check"))
    assert "help" not in found
    inside = " ".join(completed(shell, "ssm help data ", kind))
    assert "ls" in inside
    assert "call" not in inside
    assert completed(shell, "ssm help call ", kind) in ([], ["_files"])
    assert completed(shell, "ssm help nope ", kind) in ([], ["_files"])


def test_without_a_tree_there_is_nothing_and_no_noise(tmp_path: Path) -> None:
    assert completed(Shell(tmp_path), "ssm call kv") == []
    assert "call" in completed(Shell(tmp_path), "ssm ca")
    assert os.environ["XDG_RUNTIME_DIR"]
