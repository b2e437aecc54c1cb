"""A past on another computer: saved by a verb or by a tree that gives up, opened by `ssm open`."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import ROOT, ssm

LINES = "kv2 Store x 1\nkv2 Store x 2\nkv2 Lookup crash\nkv2 Store y 1\nsave a.past\n"
CRASHES = "kv2 Store x 1\n" + "kv2 Lookup crash\n" * 8


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a tree, and the past of one that ran."""
    shutil.copy(ROOT / "trees" / "kv.yaml", tmp_path)
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    words = ("run", "kv.yaml", "--no-socket", "--quiet", "--keep-going")
    run = ssm(*words, cwd=tmp_path, env=env, given=LINES)
    assert "a.past: records 0 to 4" in run.stdout, run.stderr
    return tmp_path


def test_an_opened_past_answers_as_the_live_tree_would(place: Path) -> None:
    asked = "at 2\nstate kv2\nnow\nstate kv2\nblame kv2 x\n"
    run = ssm("open", "a.past", cwd=place, given=asked)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [lines[1], lines[3]] == ['{"x": 2}', '{"y": 1}']
    assert [line.split()[0] for line in lines[4:]] == ["2", "1"]
    assert "values are redacted" in run.stderr
    assert "the code of kv1, kv2, kv3 is not here" in run.stderr


def test_one_verb_stands_behind_dashes_with_its_options(place: Path) -> None:
    run = ssm("open", "a.past", "--tree", "kv.yaml", "--", "when", "kv2", "state.x > 1", "-o",
              "json", cwd=place)  # fmt: skip
    assert json.loads(run.stdout)["record"] == 2
    assert "is not here" not in run.stderr


def test_a_script_and_json(place: Path) -> None:
    (place / "s").write_text("state kv2 --at crash\n")
    run = ssm("open", "a.past", "--script", "s", "-o", "json", cwd=place)
    assert json.loads(run.stdout) == {"x": 2}


def test_a_crash_of_an_opened_past_is_shrunk_where_its_code_is(place: Path) -> None:
    run = ssm(
        "open", "a.past", "--tree", "kv.yaml", "--", "shrink", "-o", "test_crash.py", cwd=place
    )
    assert "3 inputs -> 1 input" in run.stdout, run.stderr
    assert 'step(Lookup("crash"), state)' in (place / "test_crash.py").read_text()


@pytest.mark.parametrize(
    "line",
    ["replay all", "replay kv2", "replay kv2 --code kv.py", "shrink crash", "shrink crash --every"],
)
def test_what_has_to_step_a_past_without_its_code_says_so(place: Path, line: str) -> None:
    shutil.copy(ROOT / "ssm_cli" / "machines" / "kv.py", place)
    run = ssm("open", "a.past", "--", *line.split(), cwd=place)
    assert (run.returncode, run.stdout) == (2, ""), run.stderr
    assert "its code is not here: open the file with --tree FILE" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "line",
    ["kv2 Store z 1", "call kv2 Store z 1", "cast kv2 Store z 1", "advance 1s", "set kv2 {}",
     "kill kv2", "resume kv2", "without 1", "edit 1 Store x 7"],
)  # fmt: skip
def test_a_fork_without_its_code_is_refused_what_would_step_it_and_stays(
    place: Path, line: str
) -> None:
    (place / "s").write_text(f"at crash\nfork\n{line}\n")
    run = ssm("open", "a.past", "--script", "s", cwd=place)
    assert run.returncode == 4
    wrong = "s:3: kv1 cannot be stepped: its code is not here: open the file with --tree FILE"
    assert run.stderr.splitlines()[-1].startswith(wrong)
    shown = ssm("open", "a.past", cwd=place, given="at crash\nfork\nstate kv2\nforks\n")
    assert shown.stdout.splitlines()[-2:] == ['{"x": 2}', "* fork1    behind record 2, now at 2"]


def test_a_fork_that_was_ended_says_so_in_words_for_a_prompt(place: Path) -> None:
    lines = "at crash\nfork\nkill root\nstate kv2\n"
    (place / "s").write_text(lines)
    run = ssm("open", "a.past", "--tree", "kv.yaml", "--script", "s", cwd=place)
    assert run.returncode == 4
    assert run.stderr.splitlines()[-1] == "s:4: kv2: the tree is not running: it was stopped"


@pytest.mark.parametrize("line", ["kv2 Store z 1", "kill kv2", "restart kv2", "set kv2 5", "stop"])
def test_the_past_is_read_only(place: Path, line: str) -> None:
    run = ssm("open", "a.past", "--", *line.split(), cwd=place)
    assert run.returncode == 4
    assert "the past is read only; leave out the verb, or give a --script, and `fork`" in run.stderr
    (place / "s").write_text(line)
    script = ssm("open", "a.past", "--script", "s", cwd=place)
    assert "the past is read only; `fork` goes on from here\n" in script.stderr


def test_a_file_is_opened_by_another_user_in_a_process_of_its_own(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    (place / "a.past").chmod(0o644)
    there = Path("/tmp") / f"ssm-open-{os.getpid()}.past"  # noqa: S108 - the other can enter it
    shutil.copy(place / "a.past", there)
    there.chmod(0o644)
    try:
        code = (  # once as it is, as the other user may not read Python itself
            "import os, sys; from ssm_cli.cli.app import main; "
            "from ssm_cli.cli.environment import Environment; "
            "main(sys.argv[1:], Environment.of_process()); os.setgid(65534); os.setuid(65534); "
            "sys.exit(main(sys.argv[1:], Environment.of_process()))"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, "open", str(there), "--", "state", "kv2"],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
    finally:
        there.unlink()
    assert (run.returncode, run.stdout) == (0, 2 * '{"y": 1}\n'), run.stderr


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("kv.yaml", 74, "kv.yaml is no saved past: expected a file that `save FILE` has made"),
        ("nope", 2, "cannot open nope: No such file or directory"),
        (".", 74, ". holds no data of a tree"),
        ("/dev/zero", 2, "/dev/zero is no file"),
        ("cut", 74, "cut is cut off: 3000 of"),
    ],
)
def test_what_is_no_past_is_said_so(place: Path, name: str, code: int, why: str) -> None:
    (place / "cut").write_bytes((place / "a.past").read_bytes()[:3000])
    run = ssm("open", name, "--", "history", cwd=place)
    assert run.returncode == code
    assert why in run.stderr
    assert "Traceback" not in run.stderr


def test_a_running_tree_sends_its_past_and_the_client_writes_it(tmp_path: Path) -> None:
    shutil.copy(ROOT / "trees" / "kv.yaml", tmp_path)
    (tmp_path / "other").mkdir()
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert ssm("run", "kv.yaml", "--headless", "--detach", cwd=tmp_path, env=env).returncode == 0
    try:
        ssm("call", "kv2", "Store x 7", cwd=tmp_path, env=env)
        run = ssm("save", "b.past", cwd=tmp_path / "other", env=env)
        assert run.returncode == 0, run.stderr
        bad = ssm("save", "/nonexistent/b", cwd=tmp_path, env=env)
        assert (bad.returncode, bad.stdout) == (74, "")
    finally:
        ssm("stop", "kv", cwd=tmp_path, env=env)
    path = tmp_path / "other" / "b.past"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    opened = ssm("open", str(path), "--", "state", "kv2")
    assert opened.stdout == '{"x": 7}\n'


def gave_up(folder: Path, *words: str) -> tuple[int, list[str], list[Path]]:
    """Run a tree until its root gives up: exit code, what was said, and the pasts that are kept."""
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    run = ssm("run", str(ROOT / "trees" / "kv.yaml"), "--no-socket", "--quiet", "--keep-going",
              *words, env=env, given=CRASHES)  # fmt: skip
    kept = sorted((folder / "state" / "ssm" / "past").glob("*"))
    return run.returncode, run.stderr.splitlines(), kept


def test_a_tree_that_gives_up_leaves_its_past_and_the_last_five_stay(tmp_path: Path) -> None:
    for number in range(6):
        code, said, kept = gave_up(tmp_path)
        assert code == 7
        assert len(kept) == min(5, number + 1)
        assert said[-1] == f"ssm: the past of kv is saved: `ssm open {kept[-1]}`"
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    crash = ssm("open", str(kept[-1]), "--", "crash", "-n", "1").stdout
    assert "Lookup crash" in crash
    assert "give_up" in crash


def test_no_past_is_saved_where_that_is_not_wanted_or_nothing_is_remembered(
    tmp_path: Path,
) -> None:
    for words in (("--no-post-mortem",), ("--history", "0")):
        code, said, kept = gave_up(tmp_path, *words)
        assert (code, kept) == (7, [])
        assert "past" not in said[-1]


def test_a_past_that_cannot_be_saved_changes_no_exit_code(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ssm").write_text("a file, where a folder is wanted")
    code, said, _ = gave_up(tmp_path)
    assert code == 7
    assert said[-1].startswith("ssm: the past of kv is not saved: ")
