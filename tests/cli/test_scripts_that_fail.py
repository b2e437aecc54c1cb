"""A script that stops at a command that has found something says where, and why, at every door."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.program import Ran, ssm

TREE = "supervisor: root\nchildren:\n- {worker: kv, start: ./kv.py:kv}\n"
CODE = """
from ssm_cli import StateMachine
def step(message: str, state: int) -> tuple[int, str]:
    return state + 1, "was"
kv = StateMachine(step=step, init=lambda name, args: 0)
"""
SCRIPT = "replay kv --code other.py\nstats kv\n"
SAID = "{}:1: `replay` has failed (3): something differs"
ENDS = "; the script ends here, and goes on with --keep-going"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("script")
    (made / "t.yaml").write_text(TREE)
    (made / "kv.py").write_text(CODE)
    (made / "other.py").write_text(CODE.replace("was", "is"))
    (made / "s.ssm").write_text(SCRIPT)
    (made / "r.ssm").write_text(f"kv a\n{SCRIPT}")
    run = ssm("run", "t.yaml", "--no-socket", "-c", "kv a", "-c", "save p.past", cwd=made)
    assert run.returncode == 0, run.stderr
    return made


DOORS = {
    "run": (("run", "t.yaml", "--no-socket", "--quiet", "--script", "r.ssm"), "r.ssm:2"),
    "script": (("script", "--tree", "t.yaml", "r.ssm"), "r.ssm:2"),
    "open": (("open", "p.past", "--tree", "t.yaml", "--script", "s.ssm"), "s.ssm:1"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("more", [(), ("--keep-going",)], ids=["stops", "goes on"])
def test_a_script_says_where_it_fails_and_why(
    folder: Path, door: str, more: tuple[str, ...]
) -> None:
    words, place = DOORS[door]
    run = ssm(*words, *more, cwd=folder)
    assert run.returncode == 3
    last = f"{place}: `replay` has failed (3): something differs"
    assert (last + ENDS in run.stderr.splitlines()) is not bool(more)
    assert ("steps" in run.stdout) == bool(more)


def test_so_does_one_from_a_pipe_and_through_a_pipe(folder: Path) -> None:
    run: Ran = ssm("open", "p.past", "--tree", "t.yaml", cwd=folder, given=SCRIPT)
    assert (run.returncode, run.stderr.splitlines()[-1]) == (3, SAID.format("<stdin>") + ENDS)
    given = SCRIPT.replace("other.py", "other.py | cat")
    run = ssm("open", "p.past", "--tree", "t.yaml", cwd=folder, given=given)
    assert (run.returncode, run.stderr.splitlines()[-1]) == (3, SAID.format("<stdin>") + ENDS)
