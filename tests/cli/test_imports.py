"""What a command imports is what it uses: start-up is paid for at every call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCREEN = {"prompt_toolkit", "rich"}
NEVER = {"pydantic", "uvicorn", "prometheus_client"}  # typer imports the first from 0.29 on
OTHERS = "ssm_cli.cli.data.commands"  # as any of those of the commands that are no verbs
SERVER = {"httptools", "sqlite3", "nats"}


def imported(folder: Path, *arguments: str) -> set[str]:
    """The modules that `ssm` with these arguments imports, as the interpreter itself tells."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ssm_cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--help"], {*SCREEN, *SERVER, "asyncio", "yaml"}),
        (["run", "trees/kv.yaml", "-c", "kv1 Lookup x", "--no-socket"], {*SCREEN, *SERVER}),
        (["run", "trees/kv.py", "-c", "kv1 Lookup x", "--no-socket"], {*SCREEN, *SERVER, "yaml"}),
        (["check", "trees/kv.yaml"], {*SCREEN, *SERVER, "asyncio"}),
        (["schema"], {*SCREEN, *SERVER, "asyncio"}),
        (["--version"], {*SCREEN, *SERVER, "asyncio", OTHERS}),
        (["restart", "--help"], {*SCREEN, *SERVER, "asyncio", OTHERS}),
        (["help", "restart"], {*SCREEN, *SERVER, "asyncio", OTHERS}),
    ],
    ids=["help", "run-yaml", "run-python", "check", "schema", "version", "verb", "help-verb"],
)
def test_a_command_imports_only_what_it_uses(
    tmp_path: Path, arguments: list[str], unused: set[str]
) -> None:
    assert imported(tmp_path, *arguments) & (unused | NEVER) == set()
