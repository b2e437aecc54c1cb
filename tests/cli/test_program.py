"""The program as its user meets it: `python -m ssm_cli` as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import program
from tests.program import Ran

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0  # a bound for a machine under load; nothing waits for it

KV = """\
supervisor: root
children:
  - {worker: kv1, start: "ssm_cli.machines.kv:kv_store"}
  - {worker: kv2, start: "ssm_cli.machines.kv:kv_store"}
"""

ODD = """\
import time
from pathlib import Path
from ssm_cli.behaviour.effects import Defer
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.results import Ok, Stop, TimeoutAfter
from ssm_cli.behaviour.machine import StateMachine

HERE = Path(__file__).parent


def step(message, state):
    if message == "boom":
        raise ZeroDivisionError("division by zero")
    if message == "later":
        return state, None, [Defer("never answered")]
    return state, message


def broken_init(name, args):
    raise OSError("no disk")


def until_told():
    while not (HERE / "go").exists():
        time.sleep(0.01)


def slow_init(name, args):
    print("starting", flush=True)
    until_told()


def slow_terminate(name, state, reason):
    print("terminating", flush=True)
    until_told()


class Mortal(GenServer):
    def init(self, name, args):
        return Ok(None, then=TimeoutAfter(5))

    def handle_info(self, message, state):
        return Stop("its_time_has_come", state)


echo = StateMachine(step=step)
broken = StateMachine(step=step, init=broken_init)
slow = StateMachine(step=step, init=slow_init)
lingering = StateMachine(step=step, terminate=slow_terminate)
"""


@pytest.fixture
def kv(tmp_path: Path) -> str:
    path = tmp_path / "kv.yaml"
    path.write_text(KV)
    return str(path)


def odd(folder: Path, attribute: str) -> str:
    """A tree of one worker of the module above."""
    (folder / "odd.py").write_text(ODD)
    path = folder / f"{attribute}.yaml"
    path.write_text(
        "supervisor: root\nchildren:\n"
        f'  - {{worker: w, start: "./odd.py:{attribute}", step_timeout: infinity,'
        " init_timeout: 60000, shutdown: 60000}\n"
    )
    return str(path)


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "TERM": "dumb"} | more


def ssm(*arguments: str, stdin: str = "", **more: str) -> Ran:
    done = program.ssm(*arguments, given=stdin, env=environment(**more), timeout_s=DEADLINE_S)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program in the background; gone at the end whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "ssm_cli", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# ---- without a tree


def test_the_program_says_what_it_can_do() -> None:
    done = ssm()
    assert done.returncode == 0
    assert "call" in done.stdout
    assert ssm("call", "--help").returncode == 0
    assert ssm("--version").stdout.startswith("ssm ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope",),
        ("call",),
        ("run",),
        ("tree", "--nope"),
        ("tree", "-o", "xml"),
        ("log", "-n", "x"),
        ("call", "--timeout", "x", "kv1", "Lookup x"),
        ("run", "tree.yaml", "--ui", "x"),
        ("run", "tree.yaml", "--headless", "-c", "tree"),
        ("run", "tree.yaml", "--script", "-", "-c", "tree"),
        ("run", "nosuch.yaml"),
        ("check", "nosuch.yaml"),
        ("run", str(ROOT / "trees" / "kv.yaml"), "--name", "", "-c", "tree"),
        ("tree", "--name", ""),
    ],
)
def test_a_wrong_use_exits_with_2_and_says_so_on_stderr(arguments: tuple[str, ...]) -> None:
    done = ssm(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


@pytest.mark.parametrize("verb", ["tree", "stop", "log"])
def test_no_running_tree_exits_with_5_and_says_how_to_start_one(verb: str) -> None:
    done = ssm(verb)
    assert (done.returncode, done.stdout) == (5, "")
    assert "ssm run TREE" in done.stderr


def test_check_counts_what_is_in_a_good_file_and_names_every_complaint(
    kv: str, tmp_path: Path
) -> None:
    assert ssm("check", kv).stdout == f"{kv}: ok, 1 supervisor, 2 workers\n"
    bad = tmp_path / "bad.yaml"
    bad.write_text(KV.replace("worker: kv2", "wrker: kv2").replace("root", "a/b"))
    done = ssm("check", str(bad))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) > 1
    assert all(line.startswith(f"{bad}:") for line in done.stderr.splitlines())


def test_schema_prints_a_json_schema() -> None:
    assert json.loads(ssm("schema").stdout)["$schema"].startswith("https://json-schema.org")


# ---- one verb against a tree that is started for it


def test_call_prints_each_output_on_a_line(kv: str) -> None:
    done = ssm("call", "--tree", kv, "kv2", "Store x 1", "Lookup x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Ok\nResult 1\n", "")


def test_call_reads_inputs_from_stdin(kv: str) -> None:
    done = ssm("call", "--tree", kv, "kv2", "Store x 1", "-", stdin="Lookup x\nLookup y")
    assert (done.returncode, done.stdout) == (0, "Ok\nResult 1\nResult None\n")


def test_call_stops_at_the_first_input_that_fails(kv: str) -> None:
    done = ssm("call", "--tree", kv, "kv2", "Store x 1", "Lookup crash", "Lookup x")
    assert (done.returncode, done.stdout) == (1, "Ok\n")
    assert "kv2 crashed on `Lookup crash`: ZeroDivisionError" in done.stderr


def test_call_as_json_is_the_reply_record_and_nothing_else(kv: str) -> None:
    done = ssm("call", "--tree", kv, "-o", "json", "kv2", "Store x 1", "Lookup crash")
    good, bad = records(done.stdout)
    assert good.pop("ms") > 0
    assert good == {
        "v": 1,
        "type": "reply",
        "worker": "kv2",
        "input": "Store x 1",
        "outcome": "replied",
        "output": "Ok",
        "value": {"type": "Ok"},
    }
    assert (bad["outcome"], bad["error"]["type"]) == ("crashed", "ZeroDivisionError")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("kv9", "Lookup x"), 4),
        (("kv2", "Frobnicate"), 6),
        (("kv2", "Lookup crash"), 1),
        (("kv2", b"Lookup \xff".decode("utf-8", "surrogateescape")), 6),
    ],
)
def test_a_call_that_fails_exits_with_the_code_of_its_outcome(
    kv: str, arguments: tuple[str, ...], code: int
) -> None:
    done = ssm("call", "--tree", kv, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_cast_to_nobody_exits_as_a_call_of_nobody_does(kv: str) -> None:
    called = ssm("call", "--tree", kv, "kv9", "Lookup x")
    cast = ssm("cast", "--tree", kv, "kv9", "Lookup x")
    assert (cast.returncode, cast.stdout, cast.stderr) == (4, "", called.stderr)
    scripted = ssm("run", kv, "--script", "-", stdin="cast kv9 Lookup x\n")
    assert (scripted.stdout, scripted.returncode) == ("", 4)


def test_a_call_that_nobody_answers_in_time_exits_with_124(tmp_path: Path) -> None:
    done = ssm("call", "--tree", odd(tmp_path, "echo"), "--timeout", "0.05", "w", "later")
    assert done.returncode == 124


def test_other_verbs_answer_text_or_one_json_value(kv: str) -> None:
    assert ssm("state", "--tree", kv, "kv2", "-o", "json").stdout == "{}\n"
    assert json.loads(ssm("tree", "--tree", kv, "-o", "json").stdout)["children"][1]["id"] == "kv2"
    assert ssm("tree", "--tree", kv, "-o", "dot").stdout.startswith("digraph")
    assert ssm("cast", "--tree", kv, "kv2", "Store x 1").stdout == "ok\n"
    assert "started" in ssm("log", "--tree", kv, "-n", "3").stdout


def test_a_tree_that_does_not_come_up_exits_with_1_and_says_who(tmp_path: Path) -> None:
    done = ssm("tree", "--tree", odd(tmp_path, "broken"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "w" in done.stderr
    assert "no disk" in done.stderr


# ---- scripts


def test_a_script_prints_results_to_stdout_and_reports_to_stderr(kv: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("\ufeff# a comment\n\nkv2 Store x 1\r\ncall kv2 Lookup x")
    done = ssm("run", kv, "--script", str(script))
    assert (done.returncode, done.stdout) == (0, "Ok\nResult 1\n")
    assert all(re.match(r"\d\d:\d\d:\d\d \S ", line) for line in done.stderr.splitlines())
    assert "stopped" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("how", [("--script", "-"), ()])
def test_commands_come_from_stdin(kv: str, how: tuple[str, ...]) -> None:
    done = ssm("run", kv, *how, stdin="kv2 Store x 1\nkv2 Lookup x\n")
    assert (done.returncode, done.stdout) == (0, "Ok\nResult 1\n")


def test_commands_come_from_the_command_line(kv: str) -> None:
    done = ssm("run", kv, "-c", "kv2 Store x 1", "-c", "kv2 Lookup x")
    assert (done.returncode, done.stdout) == (0, "Ok\nResult 1\n")


def test_a_script_stops_at_its_first_failure_and_keep_going_does_not(kv: str) -> None:
    commands = ("-c", "kv2 Nope", "-c", "kv2 Lookup crash", "-c", "kv2 Lookup x")
    assert (ssm("run", kv, *commands).returncode, ssm("run", kv, *commands).stdout) == (6, "")
    done = ssm("run", kv, "--keep-going", *commands)
    assert (done.returncode, done.stdout) == (6, "Result None\n")


def test_a_line_that_is_no_command_says_its_column(kv: str) -> None:
    done = ssm("run", kv, "-c", "  kv3 Lookup x")
    assert done.returncode == 2
    assert "column 3: `kv3`" in done.stderr
    error = records(ssm("run", kv, "-o", "json", "-c", "tree now").stdout)[-1]
    errors = records(ssm("run", kv, "-o", "json", "-c", "x y").stdout)
    assert error["type"] == "report"
    assert [r["error"]["column"] for r in errors if r["type"] == "error"] == [1]


def test_a_script_that_cannot_be_read_exits_with_2(kv: str, tmp_path: Path) -> None:
    done = ssm("run", kv, "--script", str(tmp_path / "nosuch"))
    assert done.returncode == 2
    assert "nosuch" in done.stderr


def test_as_json_reports_and_replies_come_in_the_order_in_which_they_happened(kv: str) -> None:
    commands = ("-c", "kv2 Store x 1", "-c", "kv2 Lookup crash", "-c", "kv2 Lookup x")
    done = ssm("run", kv, "-o", "json", "--keep-going", *commands)
    told = records(done.stdout)
    reports = [r for r in told if r["type"] == "report"]
    assert [r["seq"] for r in reports] == list(range(1, len(reports) + 1))
    order = [r.get("event") or r["outcome"] for r in told]
    assert order.index("replied") < order.index("crashed") < order.index("restarting")
    assert order[-1] == "stopped"
    assert [r["outcome"] for r in told if r["type"] == "reply"] == [
        "replied",
        "crashed",
        "replied",
    ]
    assert done.stderr == ""


def test_quit_and_stop_end_a_script(kv: str) -> None:
    for verb in ("quit", "exit", "stop"):
        done = ssm("run", kv, "-c", verb, "-c", "kv2 Lookup x")
        assert done.returncode == 0
        assert "Result" not in done.stdout


def test_a_root_that_gives_up_exits_with_7_whatever_came_before(kv: str) -> None:
    crashes = ("-c", "kv2 Nope", *("-c", "kv2 Lookup crash") * 3)
    done = ssm("run", kv, "--keep-going", *crashes)
    assert done.returncode == 7
    assert "gave up" in done.stderr


def test_tree_exits_with_3_if_a_permanent_worker_is_down(kv: str) -> None:
    done = ssm("run", kv, "-c", "terminate-child root kv2", "-c", "tree")
    assert done.returncode == 3
    assert "stopped" in done.stdout


def test_a_worker_that_was_stopped_is_no_proc_and_its_supervisor_may_refuse(kv: str) -> None:
    stop = ("-c", "terminate-child root kv2")
    assert ssm("run", kv, *stop, "-c", "kv2 Lookup x").returncode == 4
    assert ssm("run", kv, "-c", "restart-child root kv2").returncode == 4


# ---- ends that nobody planned


def test_a_reader_that_goes_away_ends_the_run_quietly(kv: str) -> None:
    with running("run", kv, "-o", "json") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write("kv2 Store x 1\nkv2 Store x 1\n")
        process.stdin.flush()
        assert process.wait(DEADLINE_S) == 141
        assert process.stderr.read() == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_tree_in_order(kv: str, number: signal.Signals, code: int) -> None:
    with running("run", kv, "-o", "json") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("kv2 Store x 1\n")
        process.stdin.flush()
        while json.loads(process.stdout.readline())["type"] != "reply":
            pass
        process.send_signal(number)
        told = records(process.stdout.read())
        assert process.wait(DEADLINE_S) == code
    gone = [r["id"] for r in told if r["event"] == "terminated"]
    assert gone[:2] == ["kv2", "kv1"]
    assert told[-1]["event"] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_headless_tree_ends_well_at_a_signal(kv: str, number: signal.Signals) -> None:
    with running("run", kv, "--headless", "-o", "json") as process:
        assert process.stdout
        while json.loads(process.stdout.readline())["id"] != "kv2":
            pass
        process.send_signal(number)
        told = records(process.stdout.read())
        assert process.wait(DEADLINE_S) == 0
    assert told[-1]["event"] == "stopped"


@pytest.mark.parametrize("how", [("--headless",), ()])
def test_a_root_that_gives_up_by_itself_ends_the_run_with_7(
    tmp_path: Path, how: tuple[str, ...]
) -> None:
    with running("run", odd(tmp_path, "Mortal"), *how) as process:
        assert process.wait(DEADLINE_S) == 7  # although standard input is still open
        assert process.stderr
        assert "gave up" in process.stderr.read()


@pytest.mark.parametrize("attribute", ["slow", "lingering"])
def test_a_signal_while_it_starts_or_stops_still_stops_in_order(
    tmp_path: Path, attribute: str
) -> None:
    with running("run", odd(tmp_path, attribute), "-o", "json", "-c", "w x") as process:
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        for line in lines:
            if line in ("starting\n", "terminating\n"):
                break
        process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        assert process.wait(DEADLINE_S) == 143
    assert told[-1]["event"] == "stopped"


def test_a_second_signal_exits_at_once(tmp_path: Path) -> None:
    with running("run", odd(tmp_path, "lingering"), "-o", "json", "-c", "w x") as process:
        assert process.stdout
        for line in iter(process.stdout.readline, ""):
            if line == "terminating\n":
                break
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(DEADLINE_S) in (130, 143)
    assert "stopped" not in rest


# ---- a new project


def test_a_new_project_passes_its_own_test_whoever_loads_it_first_and_runs(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    made = ssm("new", str(folder))
    assert made.returncode == 0
    assert sorted(p.name for p in folder.iterdir()) == [
        *("README.md", "test_worker.py", "tree.yaml", "worker.py")
    ]
    (folder / "conftest.py").write_text("import ssm_cli\nssm_cli.load_tree('tree.yaml')\n")
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    done = ssm("call", "--tree", str(folder / "tree.yaml"), "counter1", "Add 5", "Divide 0")
    assert (done.returncode, done.stdout) == (1, "Count 5\n")


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "worker.py"
    mine.write_text("mine")
    done = ssm("new", str(tmp_path))
    assert done.returncode == 2
    assert "worker.py" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["worker.py"]
    assert mine.read_text() == "mine"


def test_new_says_why_a_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = ssm("new", str(tmp_path / "file" / "project"))
    assert done.returncode == 2
    assert "name another folder" in done.stderr


def test_a_standard_error_that_is_no_place_to_write_stops_no_command() -> None:
    words = ("run", "trees/kv.yaml", "--no-socket", "-c", "kv1 Store x 1")
    with Path(os.devnull).open("rb") as unwritable:
        run = subprocess.run(
            [sys.executable, "-m", "ssm_cli", *words], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=unwritable, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, b"Ok\n")


def test_commands_are_utf_8_where_the_locale_is_not() -> None:
    words = ("run", "trees/kv.yaml", "--no-socket", "--quiet", "-c", "kv1 Store \u00e9 1")
    environ = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    run = subprocess.run(
        [sys.executable, "-m", "ssm_cli", *words], cwd=ROOT, env=environ,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, b"Ok\n", b"")
