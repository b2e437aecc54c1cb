"""The parts of the command line, in this process."""

from __future__ import annotations

import asyncio
import doctest
import io
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ssm_cli.cli import app, environment, files, lines, where
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.opening import host_and_port
from ssm_cli.cli.printer import Printer
from ssm_cli.cli.session import Session
from ssm_cli.commands.parse import MAX_LINE, Command
from ssm_cli.commands.results import Result, refused
from ssm_cli.commands.verbs import TABLE
from ssm_cli.errors import CommandError
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import Report
from ssm_cli.spec.model import Supervisor


def env_of(stdin: str = "", **environ: str) -> Environment:
    return Environment(io.StringIO(stdin), io.StringIO(), io.StringIO(), environ)


def said(env: Environment) -> tuple[str, str]:
    assert isinstance(env.stdout, io.StringIO)
    assert isinstance(env.stderr, io.StringIO)
    return env.stdout.getvalue(), env.stderr.getvalue()


async def listed(source: AsyncIterator[str]) -> list[str]:
    return [line async for line in source]


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (environment, files):
        assert doctest.testmod(module).failed == 0


def test_every_verb_that_asks_a_tree_is_a_command_of_the_program() -> None:
    env = env_of()
    assert app.main([], env) == 0
    for verb in TABLE:
        assert (f"  {verb.name} " in said(env)[0]) == verb.asks


def test_lines_of_a_pipe_arrive_one_by_one_whatever_the_writes() -> None:
    async def scenario() -> list[str]:
        reading, writing = os.pipe()
        os.write(writing, b"on")
        asyncio.get_running_loop().call_soon(os.write, writing, b"e\r\n\ntwo\xff\nla")
        asyncio.get_running_loop().call_later(0, os.close, writing)
        got = await listed(lines.of_descriptor(reading))
        os.close(reading)
        return got

    assert asyncio.run(scenario()) == ["one", "", "two\udcff", "la"]


def test_lines_of_a_file_and_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_bytes(b"\xef\xbb\xbfa\nb\n")
    assert asyncio.run(listed(lines.of_file(str(path)))) == ["a", "b"]
    assert asyncio.run(listed(lines.of_file(os.devnull))) == []
    assert asyncio.run(listed(lines.of_stdin(env_of("a\nb")))) == ["a\n", "b"]


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_bytes(b"x" * (MAX_LINE + 2 * lines.CHUNK))
    with pytest.raises(CommandError, match="longer than"):
        asyncio.run(listed(lines.of_file(str(path))))


def test_a_line_that_is_no_command_does_not_end_the_lines() -> None:
    async def scenario() -> list[Command | CommandError]:
        given = lines.fixed(["@", "# no", "tree", "kv1 Add"])
        return [command async for command in lines.parsed(given, ["kv1"])]

    wrong, tree, call = asyncio.run(scenario())
    assert isinstance(wrong, CommandError)
    assert tree == Command("tree")
    assert call == Command("call", {"worker": "kv1", "input": "Add"})


STARTED = Report(1, 0.0, "started", "kv1", "root/kv1", "worker")


def test_text_puts_results_on_stdout_and_the_rest_on_stderr() -> None:
    env = env_of()
    printer = Printer(env)
    printer.result(Result("call", ("Ok",), ({"v": 1},)))
    printer.result(refused(CommandError("no", column=2)))
    printer.report(STARTED)
    out, err = said(env)
    assert out == "Ok\n"
    assert err.splitlines()[0] == "column 2: no"
    assert err.splitlines()[1].endswith("● kv1 started")


def test_json_puts_everything_on_stdout_but_what_a_command_wants_otherwise() -> None:
    env = env_of()
    printer = Printer(env, "json")
    printer.result(Result("call", ("Ok",), ({"v": 1},)))
    printer.report(STARTED)
    printer.result(Result("tree", ("digraph tree {",), ({},), output="dot"))
    out, err = said(env)
    assert out.splitlines()[0] == '{"v":1}'
    assert out.splitlines()[1].startswith('{"v":1,"type":"report","seq":1,')
    assert out.splitlines()[2] == "digraph tree {"
    assert err == ""


def test_a_stream_that_cannot_be_written_is_remembered_and_raises_nothing() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        env = Environment(io.StringIO(), full, io.StringIO(), {})
        printer = Printer(env)
        printer.result(Result("call", ("Ok",)))
        printer.report(STARTED)
        assert printer.broken is not None
        assert isinstance(env.stderr, io.StringIO)
        assert "kv1 started" in env.stderr.getvalue()


def test_output_that_cannot_be_written_exits_with_74() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        env = Environment(io.StringIO(), full, io.StringIO(), {})
        assert app.main(["schema"], env) == 74


def test_a_defect_is_one_line_and_its_traceback_is_for_those_who_ask() -> None:
    quiet = env_of()
    silent: object = None
    broken = Environment(quiet.stdin, silent, quiet.stderr, {})  # type: ignore[arg-type]  # the defect
    assert app.main(["schema"], broken) == 70
    assert said(quiet)[1].startswith("ssm: defect: AttributeError:")
    assert len(said(quiet)[1].splitlines()) == 1
    loud = Environment(quiet.stdin, silent, quiet.stderr, {"SSM_DEBUG": "1"})  # type: ignore[arg-type]  # as above
    assert app.main(["schema"], loud) == 70
    assert "Traceback" in said(quiet)[1]


def test_an_environment_without_a_terminal_is_dumb() -> None:
    assert env_of().dumb
    assert env_of(TERM="dumb").dumb
    assert not env_of(SSM_DEBUG="0").debug


def test_a_headless_tree_outlives_what_its_event_loop_reports() -> None:
    node, env = Node(Supervisor("root"), name="unlucky"), env_of()

    def stumble() -> None:
        raise OSError(24, "Too many open files")

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            loop.call_soon(stumble)
        loop.call_exception_handler({"message": "an answer failed"})
        loop.call_later(0.01, node.stop)
        await node.serve()

    assert Session(node, Printer(env), reports=False, serve=serve).run(None) == 0
    told = [r.detail["error"]["message"] for r in node.reports() if r.event == "loop_failed"]
    assert told == ["an answer failed", *["[Errno 24] Too many open files"] * 3]
    assert said(env)[1] == "ssm: the event loop failed, and goes on: SsmError: an answer failed\n"


async def nothing_to_do() -> AsyncIterator[Command | CommandError]:
    await asyncio.Event().wait()
    yield Command("names")


def test_a_defect_in_a_callback_ends_a_script_and_stops_the_tree() -> None:
    node = Node(Supervisor("root"), name="defective")

    def stumble() -> None:
        raise KeyError("a defect")

    async def serve() -> None:
        asyncio.get_running_loop().call_soon(stumble)
        await node.serve()

    with pytest.raises(KeyError, match="a defect"):
        Session(node, Printer(env_of()), serve=serve).run(nothing_to_do())
    assert not node.running


def test_a_connection_of_a_client_that_fails_does_not_end_a_script() -> None:
    node, env = Node(Supervisor("root"), name="talking"), env_of()

    class Stumbling(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            raise KeyError(data)

    async def serve() -> None:
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().create_connection(Stumbling, sock=ours)
        theirs.send(b"x")
        await asyncio.get_running_loop().run_in_executor(None, theirs.recv, 1)  # it is closed
        node.stop()
        theirs.close()
        await node.serve()

    assert Session(node, Printer(env), serve=serve).run(nothing_to_do()) == 0
    assert "loop_failed" in {report.event for report in node.reports()}
    assert "ssm: the event loop failed, and goes on: KeyError: b'x'\n" in said(env)[1]


def test_a_diagnostic_line_is_at_the_reader_of_a_pipe_at_once() -> None:
    raw = io.BytesIO()
    env = Environment(io.StringIO(), io.StringIO(), io.TextIOWrapper(raw), {})
    where.say(env, "shop does not answer")
    assert raw.getvalue() == b"ssm: shop does not answer\n"


@pytest.mark.parametrize(
    "text", ["[::1", "[::1]", "::1:18733", "::1]:80", "[127.0.0.1]:80", "a]:80", "[]:80", ":80"]
)
def test_an_address_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="--http takes HOST:PORT"):
        host_and_port(text)
