"""The program: two shells and curl against one running tree, with the contract's exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no type stubs of its own
import pytest

from tests.http.serving import ROOT
from tests.on_terminal import on_terminal
from tests.ports import free_ports
from tests.program import Run, ssm

DEADLINE_S = 180.0
IMPORTED_NEVER = (
    "asyncio", "rich", "prompt_toolkit", "yaml", "uvicorn", "pydantic", "ssl", "http.client"
)  # fmt: skip


class Shell:
    """Runs `ssm` in a world of its own."""

    def __init__(self, folder: Path) -> None:
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "TERM": "dumb",
        }

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ssm_cli", *arguments]

    def run(self, *arguments: str, code: int = 0, given: str = "") -> str:
        """What is printed; the exit code must be `code`."""
        done = ssm(*arguments, cwd=ROOT, env=self.environ, given=given, timeout_s=DEADLINE_S)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*arguments),
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def socket(self) -> Path:
        return Path(self.environ["XDG_RUNTIME_DIR"]) / "ssm" / "kv.sock"

    def pid(self) -> int:
        return int(json.loads(self.run("ls", "-o", "json"))["pid"])


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def running(shell: Shell) -> Iterator[Shell]:
    """A shell beside a tree that runs in the background."""
    shell.run("run", "trees/kv.yaml", "--headless", "--detach")
    pid = shell.pid()
    yield shell
    if shell.socket.exists():
        os.kill(pid, signal.SIGKILL)


def test_verbs_reach_a_running_tree_with_the_contracts_codes(running: Shell) -> None:
    assert running.run("call", "kv2", "Store x 1", "Lookup x") == "Ok\nResult 1\n"
    assert "ZeroDivisionError" in running.run("call", "kv2", "Lookup crash", "Lookup x", code=1)
    assert running.run("call", "kv2", "Lookup x") == "Result None\n"
    assert "did you mean kv" in running.run("call", "kv", "Lookup x", code=4)
    assert "not touched" in running.run("call", "kv1", "Bad", code=6)
    assert running.run("call", "kv*", "Lookup x").splitlines()[2] == "kv3  Result None"
    assert "matches" in running.run("call", "nope*", "Lookup x", code=4)
    assert running.run("set", "kv1", '{"x": 5}') == "ok\n"
    assert running.run("state", "kv1", "-o", "json") == '{"x":5}\n'
    assert running.run("state", "kv1") == '{"x": 5}\n'
    record = json.loads(running.run("call", "kv1", "Lookup x", "-o", "json"))
    assert (record["outcome"], record["value"]["value"]) == ("replied", 5)
    assert "one_for_one" in running.run("tree")
    assert running.run("suspend", "kv1") == "ok\n"
    assert "did not answer" in running.run("call", "--timeout", "0.1", "kv1", "Lookup x", code=124)
    assert running.run("resume", "kv1") == "ok\n"
    assert "no child" in running.run("delete-child", "storage", "kv9", code=4)
    spec = '{worker: kv4, start: "ssm_cli.machines.kv:kv_store"}'
    assert running.run("start-child", "storage", spec) == "kv4\n"
    assert "kv4  worker      running" in running.run("which-children", "storage")
    assert "ZeroDivisionError" in running.run("crash", "kv2")
    assert "running" in running.run("status", "kv2")


def test_a_tree_is_listed_waited_for_and_stopped(running: Shell) -> None:
    assert running.run("ls").splitlines()[1].startswith("kv ")
    assert running.run("wait", "kv2", "--for", "running") == ""
    late = running.run("wait", "kv2", "--for", "steps>=9", "--timeout", "0.1", code=124)
    assert "not steps>=9" in late
    assert "--for takes" in running.run("wait", "kv2", "--for", "exit(1)", code=2)
    again = running.run("run", "trees/kv.yaml", "--headless", code=2)
    assert f"runs already, at {running.socket}" in again
    assert running.run("stop", "kv") == "ok\n"
    assert len(running.run("ls").splitlines()) == 1
    assert not running.socket.exists()
    assert "ssm run TREE" in running.run("call", "kv2", "Lookup x", code=5)


def test_a_killed_trees_socket_is_replaced(running: Shell) -> None:
    os.kill(running.pid(), signal.SIGKILL)
    assert running.socket.exists()
    assert "runs as process" in running.run("run", "trees/kv.yaml", "--headless", "--detach")
    assert len(running.run("ls").splitlines()) == 2
    running.run("stop")


def test_lines_are_piped_in_order_and_end_at_a_failure(running: Shell) -> None:
    lines = "".join(f"Store k{number} {number}\n" for number in range(500))
    assert running.run("call", "kv1", "-", given=lines) == "Ok\n" * 500
    lines = "Lookup k7\nLookup crash\nStore z 1\n"
    out = running.run("call", "kv1", "-", given=lines, code=1)
    assert out.startswith("Result 7\n<stdin>:2: kv1 crashed on")
    assert running.run("call", "kv1", "Lookup z") == "Result None\n"


def test_a_script_runs_against_a_running_tree(running: Shell, tmp_path: Path) -> None:
    file = tmp_path / "a.ssm"
    file.write_text("# a script\nkv1 Store x 1\nbad\nkv1 Lookup x\n")
    assert "neither a command" in running.run("script", str(file), code=2)
    assert "Result 1" in running.run("script", str(file), "--keep-going", code=2)
    assert "cannot read" in running.run("script", "nowhere.ssm", code=2)
    out = running.run("script", "-", "--tree", "trees/kv.yaml", given="kv1 Lookup x\n")
    assert out == "Result None\n"


def test_a_request_id_makes_a_retry_safe(running: Shell) -> None:
    for _ in range(2):
        assert running.run("call", "--request-id", "r1", "kv1", "Store x 1") == "Ok\n"
    assert "steps:    1" in running.run("stats", "kv1")


def test_a_log_is_followed_to_the_end_of_the_tree(running: Shell) -> None:
    following = running.start("log", "-f", "-n", "1")
    assert following.stdout is not None
    assert "started" in following.stdout.readline()  # it follows from here on
    assert "log" not in running.run("call", "kv1", "Store x 1")
    running.run("stop")
    out, _ = following.communicate(timeout=DEADLINE_S)
    assert following.returncode == 0
    assert out.splitlines()[-1].endswith("root stopped shutdown")
    assert "no running tree" in running.run("log", "-f", code=5)


def test_a_follower_of_the_log_ends_with_its_reader_though_nothing_happens(running: Shell) -> None:
    """As in `ssm log -f -n 1 | head -1`."""
    following = running.start("log", "-f", "-n", "1")
    assert following.stdout is not None
    assert "started" in following.stdout.readline()
    following.stdout.close()
    assert following.wait(timeout=DEADLINE_S) == 141


def test_a_hundred_calls_at_once_are_all_answered(running: Shell) -> None:
    words = [["ssm", "call", "kv1", f"Store k{number} 1"] for number in range(100)]
    calls = [Run(each, ROOT, running.environ) for each in words]
    answers = [call.talk(b"", DEADLINE_S) for call in calls]
    assert answers == [(b"Ok\n", b"")] * 100
    assert [call.code() for call in calls] == [0] * 100
    assert "steps:    100" in running.run("stats", "kv1")


def test_a_call_imports_neither_asyncio_nor_a_screen_nor_a_server(running: Shell) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ssm_cli", "call", "kv1", "Store x 1"],
        cwd=ROOT,
        env=running.environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert imported.isdisjoint(IMPORTED_NEVER), imported & set(IMPORTED_NEVER)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_reaches_the_socket(running: Shell) -> None:
    done = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(running.socket), "-d", "Store x 1",
         "localhost/v1/workers/kv1/call"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["output"] == "Ok"


def test_attaching_and_detaching_leaves_the_tree_running(running: Shell) -> None:
    env = {**running.environ, "TERM": "xterm-256color"}
    child = on_terminal("attach", "kv", cwd=ROOT, env=env, size=(24, 120), encoding="utf-8")
    child.expect_exact("kv2")
    child.send("kv2 Store x 7\r")
    child.expect_exact("Ok")
    child.send("\x04")
    child.expect_exact("detached; kv runs on")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert running.run("call", "kv2", "Lookup x") == "Result 7\n"


@pytest.mark.parametrize("options", [(), ("--ui", "inline"), ("--plain",)], ids="".join)
@pytest.mark.parametrize(
    ("number", "said", "code"),
    [
        (signal.SIGKILL, "kv went away; `ssm ls` shows what runs", 5),
        (signal.SIGSTOP, "detached; it is not known whether kv runs on", 0),
    ],
)
def test_leaving_a_tree_that_is_gone_or_silent_says_so(
    running: Shell, number: signal.Signals, said: str, code: int, options: tuple[str, ...]
) -> None:
    env = {**running.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = on_terminal("attach", "kv", *options, cwd=ROOT, env=env, encoding="utf-8")
    child.send("kv2 Store x 7\r")
    child.expect_exact("Ok")
    pid = running.pid()
    os.kill(pid, number)
    try:
        child.send("\x04")
        child.expect_exact(said)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code
    finally:
        if number is signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)


def test_a_tree_that_does_not_start_is_not_left_in_the_background(
    shell: Shell, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("supervisor: root\nchildren: [{worker: a, start: nowhere:x}]\n")
    assert "nowhere" in shell.run("run", str(bad), "--headless", "--detach", code=2)
    assert "needs --headless" in shell.run("run", "trees/kv.yaml", "--detach", code=2)


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ("0.0.0.0:0", "--tls-cert"),
        ("nowhere", "HOST:PORT"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("192.0.2.1:80", "--insecure"),
    ],
)
def test_a_door_that_is_not_safe_is_refused(shell: Shell, http: str, said: str) -> None:
    assert said in shell.run("run", "trees/kv.yaml", "--headless", "--http", http, code=2)
    assert not shell.socket.exists()


def test_tcp_needs_a_token_and_the_client_finds_it(shell: Shell) -> None:
    [port] = free_ports(1)
    at = f"127.0.0.1:{port}"
    shell.run("run", "trees/kv.yaml", "--headless", "--detach", "--http", at)
    url = f"http://{at}"
    assert shell.run("call", "--url", url, "kv1", "Store x 1") == "Ok\n"
    shell.environ["SSM_TOKEN"] = "wrong" * 5
    assert "no valid token" in shell.run("call", "--url", url, "kv1", "Lookup x", code=8)
    assert "no valid token; `ssm login`" in shell.run("tree", "--url", url, code=8)
    del shell.environ["SSM_TOKEN"]
    assert shell.run("stop", "--url", url) == "ok\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_is_spoken_and_its_certificate_checked(shell: Shell, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    [port] = free_ports(1)
    tls = ("--tls-cert", str(cert), "--tls-key", str(key))
    at = f"127.0.0.1:{port}"
    shell.run("run", "trees/kv.yaml", "--headless", "--detach", "--http", at, *tls)
    url = f"https://localhost:{port}"
    assert "certificate" in shell.run("call", "--url", url, "kv1", "Store x 1", code=5)
    shell.environ["SSL_CERT_FILE"] = str(cert)
    assert shell.run("call", "--url", url, "kv1", "Store x 1") == "Ok\n"
    plain = shell.run("call", "--url", f"http://{at}", "kv1", "Store x 1", code=5)
    assert "went away" in plain or "HTTP" in plain
    shell.run("stop", "kv")


def test_an_attached_screen_shows_a_tree_that_went_away_and_came_back(running: Shell) -> None:
    env = {**running.environ, "TERM": "xterm-256color"}
    child = on_terminal("attach", "kv", cwd=ROOT, env=env, size=(24, 120), encoding="utf-8")
    child.expect_exact("kv2")
    os.kill(running.pid(), signal.SIGKILL)
    child.expect("unreach")
    running.run("run", "trees/kv.yaml", "--headless", "--detach")
    child.expect_exact("running")
    child.send("kv2 Store x 7\r")
    child.expect_exact("Ok")
    running.run("stop")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
