"""`ssm reload` and its siblings from a shell: who is asked, and what nobody is asked about."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from ssm_cli.cli import opening
from ssm_cli.cli.ask import ask, run_script
from ssm_cli.cli.environment import Environment
from ssm_cli.commands.parse import parse_words
from tests.history.reload.desk import Desk


class Tty(io.StringIO):
    """A stream of a terminal."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def env_of(typed: str, *, terminal: bool) -> Environment:
    kind = Tty if terminal else io.StringIO
    return Environment(kind(typed), kind(), io.StringIO(), {})


@pytest.mark.parametrize(
    ("words", "typed", "terminal", "code", "answer"),
    [
        (["reload"], "y\n", True, 0, b"Got"),
        (["reload"], "n\n", True, 8, b"Bought"),
        (["reload"], "", True, 8, b"Bought"),
        (["reload"], "y\n", False, 3, b"Bought"),
        (["reload", "--yes"], "", False, 0, b"Got"),
        (["reload", "--no"], "y\n", True, 3, b"Bought"),
        (["reload", "book", "-n", "1", "--yes"], "", False, 0, b"Got"),
        (["reload", "-o", "json"], "", False, 3, b"Bought"),
        (["reload", "-n", "0"], "y\n", True, 2, b"Bought"),
        (["reload", "-n", "0", "--yes"], "", False, 2, b"Bought"),
        (["reload", "nobody"], "", False, 4, b"Bought"),
        (["reload", "--yes", "--no"], "", False, 2, b"Bought"),
        (["rollback"], "", False, 4, b"Bought"),
    ],
)
def test_what_differs_is_asked_at_a_terminal_alone(  # noqa: PLR0917 - a row of the table
    tmp_path: Path, words: list[str], typed: str, terminal: bool, code: int, answer: bytes
) -> None:
    desk, env = Desk(tmp_path), env_of(typed, terminal=terminal)
    with desk.node as node:
        desk.call("Put BUY 1")
        desk.change('"Bought"', '"Got"')
        assert ask(env, node, [parse_words(words, ())]) == code
        assert desk.call("Put BUY 1") == answer
    asked = isinstance(env.stdout, io.StringIO) and "[y/N]" in env.stdout.getvalue()
    assert asked is (words == ["reload"] and terminal)


class Leaves(Tty):
    """A terminal at which somebody presses Ctrl-C in place of an answer."""

    def readline(self, size: int | None = -1, /) -> Any:
        """Raise what Ctrl-C raises."""
        raise KeyboardInterrupt


def test_ctrl_c_at_the_question_says_that_nothing_was_changed(tmp_path: Path) -> None:
    desk, out = Desk(tmp_path), Tty()
    with desk.node as node:
        desk.call("Put BUY 1")
        desk.change('"Bought"', '"Got"')
        with pytest.raises(KeyboardInterrupt):
            ask(Environment(Leaves(), out, io.StringIO(), {}), node, [parse_words(["reload"], ())])
        assert out.getvalue().endswith("[y/N] \nnothing was changed\n")
        assert desk.call("Put BUY 1") == b"Bought"


def test_a_script_stops_at_what_differs_unless_it_says_yes(tmp_path: Path) -> None:
    desk, env = Desk(tmp_path), env_of("y\n" * 5, terminal=True)
    told = env.stderr
    assert isinstance(told, io.StringIO)
    said = "`reload` has failed (3): something differs; `--yes` does it all the same"
    with desk.node as node:
        desk.call("Put BUY 1")
        desk.change('"Bought"', '"Got"')
        lines = ["reload", "book Put BUY 1"]
        assert run_script(env, node, "a.ssm", iter(lines), keep_going=False) == 3
        ends = "; the script ends here, and goes on with --keep-going\n"
        assert told.getvalue() == f"a.ssm:1: {said}{ends}"
        assert run_script(env, node, "a.ssm", iter(lines), keep_going=True) == 3
        assert told.getvalue() == f"a.ssm:1: {said}{ends}"
        lines = ["reload --yes", "book Put BUY 1", "rollback --yes", "reload --no"]
        assert run_script(env, node, "a.ssm", iter(lines), keep_going=False) == 3
        assert desk.call("Put BUY 1") == b"Bought"


class Looked:
    """A node that is looked at: the first look fails in a way that nobody thought of."""

    def __init__(self) -> None:
        self.running, self.looks, self.over = True, 0, asyncio.Event()

    def perform(self, effect: str) -> None:
        """Look once."""
        assert effect == "watch_code"
        self.looks += 1
        if self.looks == 3:
            self.running = False
            self.over.set()
        if self.looks == 1:
            raise RuntimeError("no such thing")


def test_files_are_watched_on_whatever_one_look_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LOOK_S", 0)
    node, raised = Looked(), list[object]()

    async def watched() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, told: raised.append(told["exception"]))
        opening.watch_code(node)  # type: ignore[arg-type]  # it asks for no more
        await node.over.wait()

    asyncio.run(asyncio.wait_for(watched(), 60))
    assert (node.looks, list(map(type, raised))) == (3, [RuntimeError])
