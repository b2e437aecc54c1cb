"""Files that the program writes have no room: exit code 74, and what was there stays."""

from __future__ import annotations

import asyncio
import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ssm_cli import CallError, ManualClock, Node, StorageError, load_tree
from ssm_cli.cli.app import main
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.files import FILES
from ssm_cli.commands.execute import aexecute, execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import error_record, instant
from ssm_cli.commands.results import Result
from ssm_cli.exit_codes import ExitCode
from ssm_cli.http.client.failures import raise_error
from ssm_cli.repl.shell.config import write_template
from ssm_cli.simulation.asking import with_futures
from tests.architecture.source import ROOT
from tests.repl.conftest import typing, until

TOKEN = "0123456789abcdefghijklmnopqrstuv"  # noqa: S105 - of nobody
KV = str(ROOT / "trees" / "kv.yaml")


@contextmanager
def no_room(most_bytes: int = 0) -> Iterator[None]:
    """No file of this process may have more bytes: it can be made, and not be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def ssm(tmp_path: Path, *words: str, stdin: str = "") -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    code = main(words, Environment(io.StringIO(stdin), out, err, environ))
    return code, out.getvalue(), err.getvalue()


def left(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def ran(line: str, *, later: bool = False) -> Result:
    """What a line comes to in a tree that has a crash behind it, with no room meanwhile."""
    with Node(load_tree(KV), clock=ManualClock(), history=100) as node:
        with_futures(node, instant)
        with pytest.raises(CallError):
            node.call("kv2", b"Lookup crash")
        command = parse_line(line, ["kv2"])
        assert command is not None
        with no_room():
            return asyncio.run(aexecute(command, node)) if later else execute(command, node)


VERBS = {
    "save": "save {file}",
    "report": "report {file}",
    "shrink": "shrink -o {file}",
    "fuzz": "fuzz kv2 --seed 1 --steps 2000 -o {file}",
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_has_no_room_for_its_file_exits_with_74(tmp_path: Path, verb: str) -> None:
    file = tmp_path / "test_it.py"
    result = ran(VERBS[verb].format(file=file))
    assert result.exit_code == ExitCode.IO_ERROR
    assert result.lines[-1] == f"cannot write {file}: File too large"
    assert left(tmp_path) == []


@pytest.mark.parametrize("verb", VERBS)
def test_what_a_verb_has_written_before_stays(tmp_path: Path, verb: str) -> None:
    file = tmp_path / "test_it.py"
    heads = {"save": "ssm past", "report": "<title>x - ssm report</title>"}
    before = heads.get(verb, '"""x\n\nPasses once that is mended.\n"""')
    file.write_text(before)
    assert ran(VERBS[verb].format(file=file)).exit_code == ExitCode.IO_ERROR
    assert (file.read_text(), left(tmp_path)) == (before, ["test_it.py"])


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("verb", ["shrink", "fuzz"])
def test_what_was_found_is_told_where_its_test_cannot_be_written(
    tmp_path: Path, verb: str, later: bool
) -> None:
    file = tmp_path / "test_it.py"
    result = ran(VERBS[verb].format(file=file), later=later)
    assert (result.exit_code, result.error) == (ExitCode.IO_ERROR, False)
    assert any("= step(" in line for line in result.lines)
    assert not any("likewise" in line or "fails as record" in line for line in result.lines)
    if verb == "fuzz":
        assert result.lines[-2].startswith("the same again: fuzz kv2")
    (record,) = result.records
    assert isinstance(record, dict)
    assert record["unwritten"] == result.lines[-1] == f"cannot write {file}: File too large"
    assert "file" not in record


@pytest.mark.parametrize("most_bytes", [0, 1000])
def test_new_leaves_nothing_of_what_has_no_room_and_can_be_tried_again(
    tmp_path: Path, most_bytes: int
) -> None:
    folder = tmp_path / "project"
    with no_room(most_bytes):
        code, out, err = ssm(tmp_path, "new", str(folder))
    assert (code, out) == (ExitCode.IO_ERROR, "")
    name = next(name for name, text in FILES.items() if len(text) > most_bytes)
    said = f"cannot write {folder / name}: File too large; name another folder"
    assert err == f"ssm: {said}\n"
    assert not folder.exists()
    assert ssm(tmp_path, "new", str(folder))[0] == ExitCode.DONE
    assert left(folder) == sorted(FILES)


def test_a_login_that_has_no_room_exits_with_74_and_leaves_the_others(tmp_path: Path) -> None:
    assert ssm(tmp_path, "login", "one.example", stdin=f"{TOKEN}\n")[0] == 0
    before = {name: (tmp_path / name).read_bytes() for name in left(tmp_path)}
    with no_room():
        code, _, err = ssm(tmp_path, "login", "two.example", stdin=f"{TOKEN}\n")
    assert code == ExitCode.IO_ERROR
    assert err.endswith(": File too large\n")
    assert {name: (tmp_path / name).read_bytes() for name in left(tmp_path)} == before


def test_settings_that_have_no_room_are_not_there_and_are_written_later(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    with no_room(), pytest.raises(StorageError, match=r"cannot write .*: File too large"):
        write_template(environ)
    assert left(tmp_path) == []
    path, written = write_template(environ)
    assert written
    assert path.stat().st_size > 0


@pytest.mark.parametrize("line", ["settings", "edit kv1"])
def test_a_file_of_the_prompt_that_has_no_room_fails_its_command_and_not_the_prompt(
    tmp_path: Path, line: str
) -> None:
    async def story() -> None:
        async with typing(tmp_path, EDITOR="true") as person:
            with no_room():
                person.type(f"{line}\r")
                await until(lambda: "cannot write" in person.output, lambda: person.output)
            person.type("kv1 Lookup x\r")
            await until(lambda: "Result None" in person.output, lambda: person.output)

    asyncio.run(story())
    assert not (tmp_path / "config" / "ssm" / "config.toml").exists()


@pytest.mark.parametrize("kind", [StorageError, *StorageError.__subclasses__()])
def test_a_tree_elsewhere_that_has_no_room_is_the_error_that_it_is_here(
    kind: type[StorageError],
) -> None:
    record = error_record(kind("cannot write journal.db: database or disk is full"))
    with pytest.raises(kind, match="disk is full") as told:
        raise_error(record, "kv1")
    assert type(told.value) is kind
