"""Reload at the prompt: what differs is asked about, and asked again once it is another plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssm_cli import ManualClock
from tests.history.reload.desk import Desk
from tests.repl.conftest import typing
from tests.repl.test_working import run, says


@pytest.mark.parametrize(("answer", "done"), [("y", True), ("n", False), ("", False)])
def test_what_differs_is_asked_about(tmp_path: Path, answer: str, done: bool) -> None:
    async def story() -> None:
        desk = Desk(tmp_path / "t", clock=ManualClock())
        async with typing(tmp_path, node=desk.node) as person:
            person.type("book Put BUY 1\r")
            await says(person, "Bought")
            desk.change('"Bought"', '"Got"')
            person.type("reload\r")
            await says(person, "reload book, twin all the same. Type y to go on")
            assert "1 another output" in person.output
            person.type(f"{answer}\r")
            await says(person, "reloaded: book, twin" if done else "not done")
            person.type("book Put BUY 1\r")
            await says(person, "Got" if done else "Bought")
            assert desk.cells()["book"].starts == 1

    (tmp_path / "t").mkdir()
    run(story())


def test_ctrl_c_at_a_question_is_a_no(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(tmp_path / "t", clock=ManualClock())
        async with typing(tmp_path, node=desk.node) as person:
            person.type("book Put BUY 1\r")
            await says(person, "Bought")
            desk.change('"Bought"', '"Got"')
            person.type("reload\r")
            await says(person, "Type y to go on")
            person.type("\x03")
            await says(person, "not done")
            assert "not waited for" not in person.output
            person.type("y\rbook Put BUY 2\r")
            await says(person, "Bought")
            assert desk.cells()["book"].starts == 1

    (tmp_path / "t").mkdir()
    run(story())


def test_a_plan_that_became_stale_while_the_question_waits_is_asked_again(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(tmp_path / "t", clock=ManualClock())
        async with typing(tmp_path, node=desk.node) as person:
            person.type("book Put BUY 1\r")
            await says(person, "Bought")
            desk.change('"Bought"', '"Got"')
            person.type("reload\r")
            await says(person, "Type y to go on")
            desk.change('"Got"', '"Taken"')
            person.type("y\r")
            await says(person, "another plan than the one that was agreed to")
            assert desk.cells()["book"].state.held == 1
            person.type("y\r")
            await says(person, "reloaded: book, twin")
            person.type("book Put BUY 1\r")
            await says(person, "Taken")

    (tmp_path / "t").mkdir()
    run(story())


def test_a_plan_that_became_one_without_a_difference_is_asked_again_too(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(tmp_path / "t", clock=ManualClock())
        async with typing(tmp_path, node=desk.node) as person:
            person.type("book Put BUY 1\r")
            await says(person, "Bought")
            desk.change('"Bought"', '"Got"')
            person.type("reload\r")
            await says(person, "Type y to go on")
            desk.change('"Got"', '"Bought"  # as before')
            person.type("y\r")
            await says(person, "another plan than the one that was agreed to")
            person.type("n\r")
            await says(person, "not done")

    (tmp_path / "t").mkdir()
    run(story())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("reload", "no file of the code that runs has changed"),
        ("reload nobody", "expected a worker, or one of book.py, teller.py"),
        ("reload --yes --no", "contradict each other"),
        ("rollback", "nothing to go back to"),
        ("shadow book", "book has no shadow"),
        ("shadow book --code nowhere.py", "there is no such file"),
        ("shadow book --code t/book.py --for x", "`--for` takes a number"),
        ("promote book", "book has no shadow"),
    ],
)
def test_what_cannot_be_done_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    async def story() -> None:
        desk = Desk(tmp_path / "t", clock=ManualClock())
        async with typing(tmp_path, node=desk.node) as person:
            person.type(f"{line}\r")
            await says(person, said)

    (tmp_path / "t").mkdir()
    monkeypatch.chdir(tmp_path)
    run(story())


def test_a_script_is_asked_nothing_and_says_what_would_do_it(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(tmp_path / "t", clock=ManualClock())
        (tmp_path / "a.ssm").write_text("book Put BUY 1\nreload\nbook Put BUY 1\n")
        async with typing(tmp_path, node=desk.node, code=0) as person:
            person.type("book Put BUY 1\r")
            await says(person, "Bought")
            desk.change('"Bought"', '"Got"')
            person.type(f"source {tmp_path / 'a.ssm'}\r")
            await says(person, "the same with `--yes` does it: book, twin")
            assert "Type y" not in person.output

    (tmp_path / "t").mkdir()
    run(story())
