"""Code that could not be tried: what is said of it, and who is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssm_cli.commands.reload import compared_lines, worker_lines
from ssm_cli.commands.voice import entry
from ssm_cli.errors import CodeRefused
from tests.history.reload.desk import Desk, counted, of
from tests.history.reload.test_beside import looked
from tests.history.reload.test_lost import Folder, home_of

CODE = """
from enum import Enum
from threading import Lock
from types import MappingProxyType
from ssm_cli import GenServer, NoReply, Ok, Reply

class Side(Enum):
    BUY = 1
    SELL = 2

class Held:
    def __init__(self, n):
        self.n = n
    def __deepcopy__(self, memo):
        raise SystemExit(3)

class Desk(GenServer):
    def init(self, name, args):
        return Ok(HELD)
    def handle_call(self, message, caller, held):
        return Reply("got", held)
    def handle_cast(self, message, held):
        return NoReply(held)
"""
HELD = {
    "MappingProxyType({'a': 1})": "TypeError: cannot pickle 'mappingproxy' object",
    "[Lock()]": "TypeError: cannot pickle '_thread.lock' object",
    "Held(1)": "SystemExit: 3",
}
CALL = 'Reply("got", held)'


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("new", ['Reply("got", held)  # same', 'Reply("other", held)'])
def test_a_state_that_cannot_be_copied_is_no_crash_of_the_code_and_is_asked_about(
    tmp_path: Path, held: str, new: str
) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = {held}\n")
    with folder.started() as node:
        node.call("w", b"x")
        node.call("w", b"y")
        folder.write(f"{CODE}\nHELD = {held}\n".replace(CALL, new))
        found = node.reload()
        told = of(found, "w")
        assert (counted(told), told["unknown"], told["total"]) == ({}, 2, 0)
        (line,) = worker_lines(told)
        why = f"the state of record 2 cannot be copied: {HELD[held]}"
        assert line == f"w: none of 2 inputs was rehearsed: {why}"
        assert (found["differs"], found["done"]) == (True, False)
        assert node.reload(sure="yes", plan=found["plan"])["done"]
        assert node.reports()[-1].detail["untried"] is True
        assert node.call("w", b"x") == (b"other" if "other" in new else b"got")


def test_what_can_be_copied_is_rehearsed_and_the_rest_is_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = 1\nWAITS = Lock()\n")
    with folder.started() as node:
        home = home_of(node)
        node.call("w", b"x")
        node.cast("w", home["WAITS"])
        node.run(0)
        folder.write(f"{CODE}\nHELD = 2\n")
        found = node.reload()
        told = of(found, "w")
        assert (counted(told), told["unknown"], found["done"]) == ({"same": 1}, 1, True)
        said = "1 more were not stepped: the input of record 2 cannot be copied: TypeError: cannot "
        assert worker_lines(told)[1].startswith(said)
        assert "untried" not in node.reports()[-1].detail
        lines = compared_lines(node.perform("replay", worker="w"))
        assert any("the input of record 2 cannot be copied" in line for line in lines)


def test_no_way_back_leads_over_an_input_that_cannot_be_given_to_the_old_code(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = 1\nWAITS = Lock()\n")
    with folder.started() as node:
        home = home_of(node)
        folder.write(f"{CODE}\nHELD = 2\n")
        node.reload()
        node.cast("w", home["WAITS"])
        node.run(0)
        with pytest.raises(CodeRefused, match=r"w cannot go back: the input of record 2 cannot be"):
            node.rollback(sure="yes")


def test_a_shadow_ends_at_an_input_that_it_cannot_be_given(tmp_path: Path) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = 1\nWAITS = Lock()\n")
    with folder.started() as node:
        home = home_of(node)
        (tmp_path / "other.py").write_text(f"{CODE}\nHELD = 2\n")
        node.shadow("w", str(tmp_path / "other.py"), count=2)
        node.cast("w", home["WAITS"])
        node.run(0)
        told = node.shadow("w")
        assert (told["over"], told["clean"]) == (True, False)
        assert "the input of record 1 cannot be copied" in told["why"]


@pytest.mark.parametrize("new", ["    BUY = 1\n", "    BUY = 1\n    SOLD = 2\n"])
def test_an_output_that_the_code_has_no_more_is_another_output(tmp_path: Path, new: str) -> None:
    code = CODE.replace(CALL, "Reply(Side.SELL, held)") + "\nHELD = 0\n"
    folder = Folder(tmp_path, code)
    with folder.started() as node:
        node.call("w", b"x")
        folder.write(code.replace("    BUY = 1\n    SELL = 2\n", new).replace("SELL, ", "BUY, "))
        found = node.reload()
        assert (counted(of(found, "w")), found["done"]) == ({"output": 1}, False)


def test_a_worker_of_which_no_input_is_remembered_is_said_to_be_untried(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.node as node:
        desk.call("Ask")
        desk.change("return Book()", "return Book(1)")
        found = node.reload()
        assert found["done"]
        assert worker_lines(of(found, "twin")) == [
            "twin: not tried, as no input of it is remembered"
        ]
        reports = {one.id: one for one in node.reports() if one.event == "reloaded"}
        assert "untried" not in reports["book"].detail
        assert entry(reports["twin"]).why.endswith("), not tried on any input")


@pytest.mark.parametrize("history", [0, 100])
def test_watched_files_that_nobody_could_try_are_taken_and_said_to_be_untried(
    tmp_path: Path, history: int
) -> None:
    desk = Desk(tmp_path, history=history)
    with desk.node as node:
        looked(desk)
        desk.change('"Bought"', '"Got"')
        assert looked(desk) == ["reloaded book", "reloaded twin"]
        assert [one.detail["untried"] for one in node.reports()[-2:]] == [True, True]
        assert desk.call("Put BUY 1") == b"Got"
        if history:
            assert node.rollback()["done"] is False  # what was answered is asked about
            assert node.rollback(sure="yes")["done"]
            assert desk.call("Ask") == b"1"


def test_watched_files_that_cannot_be_rehearsed_wait_for_somebody(tmp_path: Path) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = [Lock()]\n")
    with folder.started() as node:
        node.perform("watch_code")
        node.call("w", b"x")
        folder.write(f"{CODE}\nHELD = 3\n")
        node.perform("watch_code")
        node.perform("watch_code")
        report = node.reports()[-1]
        assert (report.event, report.detail["untried"]) == ("code_differs", True)
        assert (
            "none of its inputs could be rehearsed; `reload` shows it and asks" in entry(report).why
        )
