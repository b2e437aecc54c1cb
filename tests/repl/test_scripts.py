"""Pipes, files and results by number in a script, which has no prompt."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import program
from tests.architecture.source import ROOT
from tests.program import Ran


def run(folder: Path, script: str, *options: str) -> Ran:
    """Run a script against the demo's tree."""
    folders = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
    environ = {**os.environ, **dict.fromkeys(folders, str(folder)), "PYTHONPATH": str(ROOT)}
    return program.ssm("run", "trees/kv.yaml", *options, cwd=ROOT, env=environ, given=script)


def test_a_script_pipes_its_output_names_results_and_writes_files(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    done = run(
        tmp_path,
        "# a comment | with > marks\n"
        "kv1 Store x 7\n"
        "kv1 Lookup x\n"
        "kv2 Store y $2.value\n"
        "kv2 Lookup y | tr a-z A-Z\n"
        f"kv2 Lookup y > {file}\n"
        f"kv2 Lookup y >> {file}\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Ok",
        "Result 7",
        "Ok",
        "RESULT 7",
        f"1 line to {file}",
        f"1 line to {file}",
    ]
    assert file.read_text() == "Result 7\nResult 7\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("kv1 Lookup $4", "column 12: there is no result $4; there is none yet"),
        ("kv1 Lookup x >", "needs a file to write to behind it"),
        ("kv1 Lookup x > /no/such/folder/x", "cannot write /no/such/folder/x: No such file"),
        ("time kv1 Lookup x", "`time` is a verb of the prompt, and none of scripts"),
        ("source more.ssm", "`source` is a verb of the prompt, and none of scripts"),
        ("watch tree", "`watch` is a verb of the prompt, and none of scripts"),
        ("run t.yaml", "`run` belongs in the shell, as `ssm run t.yaml`\n"),
        ("script a.ssm", "`script` belongs in the shell, as `ssm script a.ssm`\n"),
        ("ls", "`ls` belongs in the shell: run it in a terminal beside this; an answer goes"),
    ],
)
def test_what_cannot_be_done_stops_a_script_with_code_2(
    tmp_path: Path, line: str, says: str
) -> None:
    done = run(tmp_path, f"{line}\nkv1 Store x 1\n")
    assert done.returncode == 2
    assert says in done.stderr
    assert "Ctrl-D" not in done.stderr
    assert done.stdout == ""


def test_a_script_against_a_running_tree_and_one_that_starts_it_take_the_same(
    tmp_path: Path,
) -> None:
    folders = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
    environ = {**os.environ, **dict.fromkeys(folders, str(tmp_path)), "PYTHONPATH": str(ROOT)}
    file = tmp_path / "a.ssm"
    file.write_text(
        "kv1 Store x 7\nkv1 Lookup x\nkv2 Store y $2.value\nkv2 Lookup y | tr a-z A-Z\n"
    )

    def ssm(*words: str) -> str:
        done = program.ssm(*words, cwd=ROOT, env=environ)
        done.check_returncode()
        return done.stdout

    here = ssm("script", str(file), "--tree", "trees/kv.yaml")
    ssm("run", "trees/kv.yaml", "--headless", "--detach")
    try:
        there = ssm("script", str(file))
    finally:
        ssm("stop")
    assert here == there == "Ok\nResult 7\nOk\nRESULT 7\n"


def test_a_number_of_more_digits_than_python_reads_is_refused_like_any_that_is_too_large(
    tmp_path: Path,
) -> None:
    long = "9" * 5_000
    forgotten = [
        f"at {long}", f"why {long}", f"diff 0 {long}", f"fork {long}", f"state kv1 --at {long}",
        f"shrink {long}", f"fuzz kv1 --from {long}", f"without {long}", f"edit {long} Lookup",
    ]  # fmt: skip
    wrong = [
        f"keep kv1 {long}", f"shadow kv1 --code F --for {long}", f"back {long}", f"${long}",
        f"check-policy --faults {long}", f"kv1 Store x ${long}", f"$1.{long}",
    ]  # fmt: skip
    options = ("--history", "50", "--quiet", "--keep-going", "-o", "json")
    script = "".join(f"{line}\nnow\n" for line in (*forgotten, *wrong))
    done = run(tmp_path, f"kv1 Store x 1\n{script}kv1 Lookup x\n", *options)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [one["error"] for one in told if one["type"] == "error"]
    kinds = ["Forgotten"] * len(forgotten) + ["CommandError"] * len(wrong)
    assert [error["type"] for error in errors] == kinds, done.stderr
    assert told[-1]["value"] == {"type": "Result", "value": 1}
