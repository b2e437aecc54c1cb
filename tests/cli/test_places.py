"""What is refused in a batch says where it was written: the file or stream, and the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.program import Ran, ssm

TREE = """\
supervisor: root
children:
  - {worker: kv1, start: "ssm_cli.machines.kv:kv_store"}
"""
SCRIPT = b"# a comment\n\nkv1 Store x 1\nkv1 Look x\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(TREE)


@contextmanager
def running() -> Iterator[None]:
    assert ssm("run", "t.yaml", "--headless", "--detach").returncode == 0
    try:
        yield
    finally:
        ssm("stop", "t")


def refusals(run: Ran) -> list[str]:
    return [line for line in run.stderr.splitlines() if not line[:2].isdigit()]


WAYS = {
    "run --script": (["run", "t.yaml", "--quiet", "--script", "s.ssm"], "s.ssm", False),
    "run --script -": (["run", "t.yaml", "--quiet", "--script", "-"], "<stdin>", False),
    "run < FILE": (["run", "t.yaml", "--quiet"], "<stdin>", False),
    "script --tree": (["script", "--tree", "t.yaml", "s.ssm"], "s.ssm", False),
    "script": (["script", "s.ssm"], "s.ssm", True),
    "script -": (["script", "-"], "<stdin>", True),
}


FAULTS = {
    "undecodable": (SCRIPT, "4: kv1 was not touched at column 1 of the input: "),
    "no command": (
        b"kv1 Store x 1\ncal kv1 Lookup x\n", "2: column 1: `cal` is neither a command nor "
    ),
    "a crash": (
        b"kv1 Store x 1\n\nkv1 Lookup crash\n", "3: kv1 crashed on `Lookup crash`: ZeroDivision"
    ),
    "no worker": (b"tree\ncall kv9 Lookup x\n", "2: no worker kv9; did you mean kv1?"),
    "no UTF-8": (
        b"# \xff\n\nkv1 Store \xff 1\n", "1: column 3: is not UTF-8: the byte 0xff does not"
    ),
    "a byte order mark": (b"\xef\xbb\xbfkv1 Look x\n", "1: kv1 was not touched"),
}  # fmt: skip
PAIRS = [*zip(WAYS, FAULTS, strict=True), *zip(WAYS, reversed(FAULTS), strict=True)]
"""Each way twice, and each fault twice: all of both takes a minute and tells no more."""


@pytest.mark.parametrize(("way", "fault"), PAIRS)
def test_a_script_that_fails_says_where(way: str, fault: str) -> None:
    (words, source, needs), (script, said) = WAYS[way], FAULTS[fault]
    Path("s.ssm").write_bytes(script)
    given = script if source == "<stdin>" else b""
    if needs:
        with running():
            run = ssm(*words, given=given)
    else:
        run = ssm(*words, given=given)
    (line,) = refusals(run)
    assert line.startswith(f"{source}:{said}")
    assert run.returncode != 0


def test_one_of_several_c_says_which() -> None:
    run = ssm("run", "t.yaml", "--quiet", "-c", "kv1 Store x 1", "-c", "kv1 Look x")
    assert refusals(run)[0].startswith("-c:2: kv1 was not touched at column 1 of the input: ")


@pytest.mark.parametrize("near", [True, False])
def test_an_input_from_standard_input_says_its_line(near: bool) -> None:
    given = b"Store x 1\nLookup x\nLook x\nLookup x\n"
    if near:
        run = ssm("call", "--tree", "t.yaml", "kv1", "-", given=given)
    else:
        with running():
            run = ssm("call", "kv1", "-", given=given)
    assert run.stdout.splitlines() == ["Ok", "Result 1"]
    assert refusals(run)[0].startswith("<stdin>:3: kv1 was not touched at column 1 of the input: ")


def test_the_record_says_it_too() -> None:
    run = ssm("run", "t.yaml", "-o", "json", "--quiet", given=b"tree\nkv1 Look x\n")
    assert json.loads(run.stdout.splitlines()[-1])["place"] == "<stdin>:2"


@pytest.mark.parametrize("name", ["x" * 300, "folder", "nowhere", "loop"])
@pytest.mark.parametrize("how", [["run", "t.yaml", "--quiet", "--script"], ["script", "--tree"]])
def test_a_script_that_cannot_be_read_says_why(how: list[str], name: str) -> None:
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    words = [*how, "t.yaml", name] if how[0] == "script" else [*how, name]
    run = ssm(*words)
    (line,) = refusals(run)
    assert name in line
    assert ": cannot read " in f": {line}"
    assert run.returncode == 2


ADVICE = "; `{}` shows what its supervisor did"


def test_advice_is_that_of_the_door() -> None:
    """At a prompt and in scripts `log`; in a shell `ssm log`; of a tree that is gone, none."""
    in_script = ssm("run", "t.yaml", "--quiet", "-c", "kv1 Lookup crash").stderr
    assert ADVICE.format("log") in in_script
    gone = ssm("call", "--tree", "t.yaml", "kv1", "Lookup crash").stderr
    assert "kv1 crashed" in gone
    assert "log" not in gone
    with running():
        one = ssm("call", "kv1", "Lookup crash").stderr
        piped = ssm("call", "kv1", "-", given=b"Lookup crash\n").stderr
    assert ADVICE.format("ssm log") in one
    assert ADVICE.format("ssm log") in piped


@pytest.mark.parametrize("near", [True, False])
def test_a_timeout_of_0_does_not_wait_and_the_input_is_stepped(near: bool) -> None:
    if near:
        words = ("-c", "call --timeout 0 kv1 Store x 1", "-c", "kv1 Lookup x")
        run = ssm("run", "t.yaml", "--quiet", "--keep-going", *words)
        assert run.stdout.splitlines()[-1] == "Result 1"
        return
    with running():
        assert ssm("call", "--timeout", "0", "kv1", "Store x 1").returncode in {0, 124}
        assert ssm("call", "kv1", "Lookup x").stdout == "Result 1\n"
